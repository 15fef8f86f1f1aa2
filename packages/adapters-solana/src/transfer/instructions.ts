import { AccountRole, address, createNoopSigner, type Instruction } from '@solana/kit'
import { getTransferCheckedInstruction } from '@solana-program/token'
import { addressBytes } from '../chain/address.ts'
import { system } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import type { MintFacts } from '../exact/wire.ts'

/** What a transfer moves, to whom: base58 and atomic units. */
export type Moving = { readonly asset: string; readonly recipient: string; readonly amount: bigint }

/** The associated token account of an owner. */
export function accountOf(owner: string, { mint, program }: MintFacts): string {
  return associatedTokenAddress({ owner: addressBytes(owner) ?? new Uint8Array(32), mint, program: program.bytes })
}

/** A checked transfer of a token between the associated accounts of two owners. */
export function tokenInstruction(payer: string, { asset, recipient, amount }: Moving, mint: MintFacts): Instruction {
  return getTransferCheckedInstruction(
    {
      source: address(accountOf(payer, mint)),
      mint: address(asset),
      destination: address(accountOf(recipient, mint)),
      authority: createNoopSigner(address(payer)),
      amount,
      decimals: mint.decimals,
    },
    { programAddress: address(mint.program.address) },
  )
}

const systemTransfer = 2

/** `Transfer` of the system program: its number in four bytes and the lamports in eight. */
export function coinInstruction(payer: string, { recipient, amount }: Omit<Moving, 'asset'>): Instruction {
  const data = new Uint8Array(12)
  const view = new DataView(data.buffer)
  view.setUint32(0, systemTransfer, true)
  view.setBigUint64(4, amount, true)
  const accounts = [
    { address: address(payer), role: AccountRole.WRITABLE_SIGNER },
    { address: address(recipient), role: AccountRole.WRITABLE },
  ]
  return { programAddress: address(system.address), accounts, data }
}
