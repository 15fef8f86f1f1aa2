import { AccountRole, address, type Instruction } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getAddMemoInstruction } from '@solana-program/memo'
import { memo as memoProgram } from '../chain/programs.ts'
import type { Transaction } from '../chain/transaction.ts'
import type { MintFacts } from '../exact/wire.ts'
import { coinInstruction, tokenInstruction } from '../transfer/instructions.ts'
import { ownTransaction } from '../transfer/own.ts'

/** A transfer to be signed: of SOL where there is no mint. `tag` is the SHA-256 of its reference as an address, `recent` a blockhash; amounts are atomic. */
export type WantedTransfer = {
  readonly payer: string
  readonly payTo: string
  readonly asset: string
  readonly mint: MintFacts | undefined
  readonly amount: bigint
  readonly tag: string
  readonly recent: string
}

// A transfer, its memo and the reading of both need a third of it.
const computeUnits = 60_000
const microLamports = 1_000

/** The transaction of a transfer that its payer alone signs, with the tag in a memo and as a read-only account; nobody has signed it. */
export function buildTransfer({ payer, tag, recent, mint, payTo, ...wanted }: WantedTransfer): Transaction | undefined {
  const transfer =
    mint === undefined
      ? coinInstruction(payer, { recipient: payTo, ...wanted })
      : tokenInstruction(payer, { recipient: payTo, ...wanted }, mint)
  const named: Instruction = {
    ...transfer,
    accounts: [...(transfer.accounts ?? []), { address: address(tag), role: AccountRole.READONLY }],
  }
  const instructions = [
    getSetComputeUnitLimitInstruction({ units: computeUnits }),
    getSetComputeUnitPriceInstruction({ microLamports }),
    named,
    getAddMemoInstruction({ memo: tag }, { programAddress: address(memoProgram.address) }),
  ]
  return ownTransaction({ payer, recent, instructions })
}
