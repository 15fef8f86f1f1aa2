import type { Address } from '@solana/kit'
import * as z from 'zod/mini'
import type { Bank } from '../ledger/bank.ts'
import type { Commitment, Slots } from '../ledger/slots.ts'
import { refuse } from '../refusal.ts'

/** What the methods of the RPC answer from. */
export type Chain = {
  readonly slots: Slots
  readonly bank: Bank
  readonly genesisHash: string
  /** Sends SOL from the faucet and gives the signature. */
  airdrop(to: Address, lamports: bigint): Promise<string>
}

/** A method of the RPC: reads its parameters and answers. Errors: `testing/solana-refused`. */
export type Method = (chain: Chain, params: unknown) => unknown

/** Makes a method from the schema of its positional parameters and the function that takes them. */
export function method<Schema extends z.ZodMiniType, Answer>(
  schema: Schema,
  answer: (chain: Chain, params: z.infer<Schema>) => Answer,
): (chain: Chain, params: unknown) => Answer {
  return (chain, params = []) => {
    const read = schema.safeParse(params)
    if (!read.success) throw refuse('invalidParameters', `Invalid params: ${z.prettifyError(read.error)}`)
    return answer(chain, read.data)
  }
}

/** Fields of a configuration that decide from where a method reads. */
type Config =
  | { readonly commitment?: Commitment | null | undefined; readonly minContextSlot?: number | null | undefined }
  | null
  | undefined

/** The commitment a method reads at; finalized unless told. Errors: `testing/solana-refused` with -32016. */
export function commitmentOf({ slots }: Chain, config: Config): Commitment {
  const commitment = config?.commitment ?? 'finalized'
  const slot = slots.slot(commitment)
  if (config?.minContextSlot != null && BigInt(config.minContextSlot) > slot) {
    throw refuse('minContextSlot', 'Minimum context slot has not been reached', { contextSlot: slot })
  }
  return commitment
}

/** A value with the slot it was read at. */
export function inContext({ slots }: Chain, commitment: Commitment, value: unknown): unknown {
  return { context: { slot: slots.slot(commitment), apiVersion }, value }
}

/** The release of the validator whose answers these are shaped like. */
export const apiVersion = '2.3.0'
