import { parseNetwork } from '@flow402x/core'
import type { PaymentWitness, WitnessedTransfer } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import { addressBytes } from '../chain/address.ts'
import { decodeBase58 } from '../chain/base58.ts'
import { type Depth, type MinedTransaction, readMined } from '../chain/confirmation.ts'
import { splToken, token2022 } from '../chain/programs.ts'
import { checkChain, httpRpc } from '../chain/rpc.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import { fastestEd25519 } from '../crypto/ed25519.ts'

/** How a bazaar looks at a Solana network. */
export type SolanaWitnessOptions = {
  /** A CAIP-2 id, or a friendly name such as "solana". */
  readonly network: string
  readonly rpcUrl: string
  /** How deep a payment must lie before it speaks for anybody; `finalized` unless told. */
  readonly confirmations?: 'confirmed' | 'finalized'
  readonly fetch?: typeof globalThis.fetch
}

const namedSchema = z.array(z.looseObject({ signature: z.string(), err: z.unknown() }))
const atOnce = 1000
// A wallet with more transactions than these is looked no further back: it stands for itself.
const mostPages = 5
const mostRead = 16

/**
 * Tells a bazaar who paid whom on a Solana network, who funded whom, and who signed what.
 *
 * Errors: `config/unknown-network`, `config/bad-rpc-url`; when asked `config/wrong-chain`, `solana/rpc`, `solana/call-failed`.
 */
export function solanaPaymentWitness({
  network: name,
  rpcUrl: url,
  confirmations = 'finalized',
  fetch = globalThis.fetch,
}: SolanaWitnessOptions): PaymentWitness {
  const network = parseNetwork(name)
  const rpc = httpRpc({ url, fetch, timeoutMs: 10_000 })
  const crypto = fastestEd25519()
  let checked: Promise<void> | undefined
  const start = (signal: AbortSignal | undefined): Promise<void> => {
    checked ??= checkChain(rpc, { network, signal }).catch((error: unknown) => {
      checked = undefined
      throw error
    })
    return checked
  }

  return {
    network,
    async signed(text, { address, signature }) {
      const [publicKey, bytes] = [decodeBase58(address), decodeBase58(signature)]
      if (publicKey?.length !== 32 || bytes?.length !== 64) return false
      return crypto.verify({ signature: bytes, message: new TextEncoder().encode(text), publicKey })
    },
    async transfers(transaction, { signal } = {}) {
      if (decodeBase58(transaction)?.length !== 64) return undefined
      await start(signal)
      const found = await readMined(rpc, transaction, { commitment: confirmations, signal })
      return found?.success === true ? transfersOf(found) : undefined
    },
    async funder(address, { asset, least, signal }) {
      const [owner, mint] = [addressBytes(address), addressBytes(asset)]
      if (owner === undefined || mint === undefined) return undefined
      await start(signal)
      for (const program of [splToken, token2022]) {
        const account = associatedTokenAddress({ owner, mint, program: program.bytes })
        const first = await earliest(account, { commitment: confirmations, signal })
        for (const signature of first.slice(0, mostRead)) {
          const found = await readMined(rpc, signature, { commitment: confirmations, signal })
          const sent = found?.success === true ? transfersOf(found) : []
          const funding = sent.find((one) => one.asset === asset && one.to === address && one.amount >= least)
          if (funding !== undefined) return funding.from
        }
      }
      return undefined
    },
  }

  /** The first transactions of an account, the oldest first; none where they lie too far back. */
  async function earliest(account: string, { commitment, signal }: Depth): Promise<readonly string[]> {
    let before: string | undefined
    for (let page = 0; page < mostPages; page += 1) {
      const params = [account, { limit: atOnce, commitment, ...(before === undefined ? {} : { before }) }]
      const named = await rpc.ask({ method: 'getSignaturesForAddress', params, result: namedSchema }, { signal })
      if (named.length < atOnce) return named.flatMap(({ signature, err }) => (err == null ? [signature] : [])).reverse()
      before = named.at(-1)?.signature
    }
    return []
  }
}

/** What went from whom to whom: told where one owner of a token gave and others took; who gave what is not told of a crowd. */
function transfersOf({ tokens }: MinedTransaction): readonly WitnessedTransfer[] {
  const givers = (mint: string) =>
    new Set(tokens.flatMap((one) => (one.mint === mint && one.change < 0n && one.owner !== undefined ? [one.owner] : [])))
  return tokens.flatMap(({ mint, owner, change, account }) => {
    const [from, ...more] = change > 0n && owner !== undefined ? givers(mint) : []
    return from === undefined || more.length > 0 || owner === undefined || from === owner
      ? []
      : [{ asset: mint, from, to: owner, amount: change, index: account }]
  })
}
