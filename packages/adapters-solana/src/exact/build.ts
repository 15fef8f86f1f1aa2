import {
  address,
  appendTransactionMessageInstructions,
  blockhash,
  compileTransaction,
  createNoopSigner,
  createTransactionMessage,
  getTransactionEncoder,
  pipe,
  setTransactionMessageFeePayer,
  setTransactionMessageLifetimeUsingBlockhash,
} from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getAddMemoInstruction } from '@solana-program/memo'
import { getTransferCheckedInstruction } from '@solana-program/token'
import { addressBytes } from '../chain/address.ts'
import { memo as memoProgram } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import type { MintFacts } from './wire.ts'

/** A transfer to be signed; addresses in base58, `amount` in atomic units. */
export type Wanted = {
  readonly feePayer: string
  readonly payer: string
  readonly payTo: string
  readonly asset: string
  readonly mint: MintFacts
  readonly amount: bigint
  readonly memo: string
  readonly blockhash: string
}

// What official clients ask for: enough for the transfer and its memo, at the least price (wire.md §14).
const computeUnits = 20_000
const microLamports = 1

/** The wire transaction of a payment, in the layout of wire.md §14, that nobody has signed. */
export function buildTransaction({ feePayer, payer, payTo, asset, mint, amount, memo, ...rest }: Wanted): Uint8Array {
  const accountOf = (owner: string) =>
    address(associatedTokenAddress({ owner: addressBytes(owner) ?? new Uint8Array(), mint: mint.mint, program: mint.program.bytes }))
  const transfer = getTransferCheckedInstruction(
    {
      source: accountOf(payer),
      mint: address(asset),
      destination: accountOf(payTo),
      authority: createNoopSigner(address(payer)),
      amount,
      decimals: mint.decimals,
    },
    { programAddress: address(mint.program.address) },
  )
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayer(address(feePayer), empty),
    // When it expires is for the chain to say; kit wants a number that nothing here reads.
    (paid) => setTransactionMessageLifetimeUsingBlockhash({ blockhash: blockhash(rest.blockhash), lastValidBlockHeight: 0n }, paid),
    (dated) =>
      appendTransactionMessageInstructions(
        [
          getSetComputeUnitLimitInstruction({ units: computeUnits }),
          getSetComputeUnitPriceInstruction({ microLamports }),
          transfer,
          getAddMemoInstruction({ memo }, { programAddress: address(memoProgram.address) }),
        ],
        dated,
      ),
  )
  return new Uint8Array(getTransactionEncoder().encode(compileTransaction(message)))
}
