import { isX402Error, type Sighting, type Submission } from '@flow402x/core'
import * as z from 'zod/mini'
import { hexSchema, type Target } from '../chain/abi.ts'
import type { Receipt } from '../chain/receipt.ts'
import { type LookOptions, lookFor } from '../checks/look.ts'
import { nthTransfer, ownTransfer, type Sought, transfersIn, transferTopics } from './evidence.ts'
import { nonceWord } from './proxy.ts'
import { keyOf, type Permit2Scheme, readPayload } from './wire.ts'

/**
 * What the chain says of a payment by Permit2 (`lookFor`). Permit2 tells no nonce in its events, so a transfer counts only where the
 * calldata of the proxy, or a trace where that is hidden in other calls, shows this very nonce (M1).
 *
 * Errors: `evm/rpc`, `evm/call-failed`.
 */
export async function lookAt(scheme: Permit2Scheme, { payment, requirements }: Submission, options: LookOptions): Promise<Sighting> {
  const { network, asset, payTo, amount, maxTimeoutSeconds } = requirements
  const authorization = readPayload(scheme, payment)?.permit2Authorization
  if (authorization === undefined) return { status: 'pending', network }
  const { from, nonce, deadline } = authorization
  const sought = { scheme, network, nonce, asset, from, payTo, amount: BigInt(amount) }
  return await lookFor(
    {
      network,
      payer: from,
      deadAfter: keyOf(authorization, network).deadAfter,
      until: deadline,
      maxTimeoutSeconds,
      spent: { ...nonceWord(authorization), bit: nonce & 255n },
      logs: { address: asset, topics: transferTopics(sought) },
      telling: false,
      async settledIn(receipt) {
        const index = await transferOf(sought, { ...options, receipt })
        if (typeof index !== 'number') return index
        return { status: 'settled', transaction: receipt.transaction, network, payer: from, amount, logIndex: index }
      },
      reasons: { expired: 'permit2_deadline_expired', spent: 'permit2_invalid_nonce' },
    },
    options,
  )
}

type Looking = Pick<LookOptions, 'rpc' | 'signal'> & { readonly receipt: Receipt }

/** The index of the log of this payment's own transfer. */
async function transferOf(sought: Sought, { rpc, signal, receipt }: Looking): Promise<number | 'unclear' | undefined> {
  const { transaction, success, logs } = receipt
  if (!success || transfersIn(logs, sought).length === 0) return undefined
  const sent = await rpc.ask({ method: 'eth_getTransactionByHash', params: [transaction], result: sentSchema }, { signal })
  if (sent === null) return 'unclear'
  const own = ownTransfer(sought, { logs, call: { target: sent.to ?? '0x', data: sent.input } })
  if (own !== 'unclear') return own?.index
  const traced = await tracedCalls(transaction, { rpc, signal })
  return traced === undefined ? 'unclear' : nthTransfer(sought, { logs, calls: traced })?.index
}

const sentSchema = z.nullable(z.looseObject({ to: z.nullish(hexSchema), input: hexSchema }))

type Traced = {
  readonly to?: string | null | undefined
  readonly input: `0x${string}`
  readonly error?: string | null | undefined
  readonly calls?: readonly Traced[] | null | undefined
}

const traceSchema: z.ZodMiniType<Traced> = z.looseObject({
  to: z.nullish(z.string()),
  input: hexSchema,
  error: z.nullish(z.string()),
  get calls() {
    return z.nullish(z.array(traceSchema))
  },
})

/** Every call of a transaction that took effect, in order; nothing where the node does not trace. Errors: `evm/rpc`. */
export async function tracedCalls(
  transaction: string,
  { rpc, signal }: Pick<LookOptions, 'rpc' | 'signal'>,
): Promise<readonly Target[] | undefined> {
  try {
    const params = [transaction, { tracer: 'callTracer' }]
    return effective(await rpc.ask({ method: 'debug_traceTransaction', params, result: traceSchema }, { signal }))
  } catch (error) {
    if (isX402Error(error, 'evm/call-failed')) return undefined
    throw error
  }
}

function effective({ to, input, error, calls }: Traced): readonly Target[] {
  if (error != null) return []
  return [{ target: to ?? '0x', data: input }, ...(calls ?? []).flatMap(effective)]
}
