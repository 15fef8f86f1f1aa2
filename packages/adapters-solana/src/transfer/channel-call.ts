import type { Instruction } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { feeOf } from '../chain/budget.ts'
import { solanaErrors } from '../chain/errors.ts'
import { readerOf } from '../chain/reader.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import type { SolanaSender } from '../crypto/signer.ts'
import { ownTransaction, sendOwn } from './own.ts'

/** Who calls: a wallet that pays for it, by a connection. `microLamports`: the price of computing, in millionths of a lamport. */
export type Caller = { readonly chain: SolanaChain; readonly rpc: Rpc; readonly sender: SolanaSender; readonly microLamports: bigint }

/** What is called over the channel `id`; `rent` (lamports) is what accounts cost that it opens. */
export type ChannelCall = {
  readonly id: string
  readonly instructions: readonly Instruction[]
  readonly rent?: bigint
  readonly computeUnits?: bigint
  readonly signal?: AbortSignal | undefined
}

// What closing a channel costs at most: nobody puts money where he cannot get it out (M31).
const exitLamports = 20_000n

/** Sends a transaction of a wallet's own, after a run without effect. Errors: `solana/no-sol`, `solana/not-filled`, those of the chain. */
export async function callChannel({ chain, rpc, sender, microLamports }: Caller, call: ChannelCall): Promise<string> {
  const { id, instructions, rent = 0n, computeUnits = 60_000n, signal } = call
  const failed = (why: string) => solanaErrors('solana/not-filled', { channel: id, why })
  const budget = [getSetComputeUnitLimitInstruction({ units: Number(computeUnits) }), getSetComputeUnitPriceInstruction({ microLamports })]
  await chain.start({ signal })
  const { blockhash: recent } = await readerOf(rpc).recentBlockhash({ signal })
  const unsigned = ownTransaction({ payer: sender.address, recent, instructions: [...budget, ...instructions] })
  if (unsigned === undefined) throw failed('its transaction could not be built')
  const needed = feeOf(unsigned, { computeUnits, microLamports }) + rent + exitLamports
  const { held } = (await chain.balance?.(sender.address, { signal })) ?? { held: 0n }
  if (held < needed) throw solanaErrors('solana/no-sol', { address: sender.address, network: chain.network, held, needed })
  const { failure } = await chain.simulate(unsigned, { signal })
  if (failure !== undefined) throw failed(failure)
  return await sendOwn(chain, { unsigned, sender, failed, signal })
}
