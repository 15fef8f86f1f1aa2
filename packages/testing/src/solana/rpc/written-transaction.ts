import { getBase58Decoder } from '@solana/kit'
import type { InnerInstruction, Trace } from '../ledger/bank.ts'
import type { Key, Message } from '../ledger/transaction.ts'
import type { TransactionEncoding } from './parameters.ts'
import { parsedInstruction } from './parsed-instruction.ts'

/** What the program that ran last returned. */
export function returnData({ returned }: Trace): unknown {
  return returned && { programId: returned.programId, data: [Buffer.from(returned.data).toString('base64'), 'base64'] }
}

/** The instructions that programs called, grouped by the transaction's own. */
export function writeInner(
  { keys, trace }: { readonly keys: readonly Key[]; readonly trace: Trace },
  encoding: TransactionEncoding,
): unknown {
  return trace.inner.map(({ index, instructions }) => ({
    index,
    instructions: instructions.map((instruction) => writeInstruction(instruction, { keys, encoding })),
  }))
}

type Call = Omit<InnerInstruction, 'stackHeight'> & { readonly stackHeight: number | null }

function writeInstruction(
  call: Call,
  { keys, encoding }: { readonly keys: readonly Key[]; readonly encoding: TransactionEncoding },
): unknown {
  if (encoding === 'jsonParsed') return parsedInstruction(call, keys)
  return { ...call, data: getBase58Decoder().decode(call.data) }
}

/** The transaction's own instructions. */
export function writeInstructions(
  message: Message,
  options: { readonly keys: readonly Key[]; readonly encoding: TransactionEncoding },
): unknown[] {
  return message.instructions.map(({ programAddressIndex, accountIndices = [], data = new Uint8Array() }) =>
    writeInstruction(
      { programIdIndex: programAddressIndex, accounts: accountIndices, data: Uint8Array.from(data), stackHeight: 1 },
      options,
    ),
  )
}
