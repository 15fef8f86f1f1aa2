import * as z from 'zod/mini'
import { cliErrors } from '../cli/errors.ts'

/** What a node of a development network is asked for: lamports, which are worth nothing there. */
export type Airdrop = { readonly rpcUrl: string; readonly to: string; readonly lamports: bigint; readonly signal: AbortSignal }

const answer = z.looseObject({ result: z.optional(z.string()), error: z.nullish(z.looseObject({ message: z.string() })) })

/** Asks a node of Solana for lamports and gives the transaction. Errors: `cli/no-faucet`. */
export async function requestAirdrop({ rpcUrl, to, lamports, signal }: Airdrop): Promise<string> {
  const { host } = new URL(rpcUrl)
  const failed = (why: string, cause?: unknown) => cliErrors('cli/no-faucet', { network: host, why, cause })
  const body = `{"jsonrpc":"2.0","id":1,"method":"requestAirdrop","params":[${JSON.stringify(to)},${lamports}]}`
  try {
    const response = await fetch(rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body, signal })
    const { result, error } = z.parse(answer, await response.json())
    if (result === undefined) throw failed(error?.message ?? 'the node gave no transaction')
    return result
  } catch (cause) {
    signal.throwIfAborted()
    throw cause instanceof Error && cause.name === 'X402Error' ? cause : failed('the node could not be asked', cause)
  }
}
