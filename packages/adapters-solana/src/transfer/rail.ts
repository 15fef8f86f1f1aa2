import { type Asset, assetOf, formatAmount, isX402Error } from '@flow402x/core'
import { type TokenChain, type Transfer, tokenErrors } from '@flow402x/core/token'
import { address, createNoopSigner, type Instruction } from '@solana/kit'
import { getSetComputeUnitLimitInstruction, getSetComputeUnitPriceInstruction } from '@solana-program/compute-budget'
import { getAddMemoInstruction } from '@solana-program/memo'
import { getCreateAssociatedTokenIdempotentInstruction } from '@solana-program/token'
import * as z from 'zod/mini'
import { feeOf } from '../chain/budget.ts'
import { memo as memoProgram, token2022 } from '../chain/programs.ts'
import { readerOf } from '../chain/reader.ts'
import type { Rpc } from '../chain/rpc.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import type { Transaction } from '../chain/transaction.ts'
import type { SolanaSender } from '../crypto/signer.ts'
import { checkMint, checkRecipient, refuseOwner } from '../exact/recipient.ts'
import { heldBy } from '../exact/stored.ts'
import type { MintFacts } from '../exact/wire.ts'
import { accountOf, coinInstruction, tokenInstruction } from './instructions.ts'
import { ownTransaction, signOwn } from './own.ts'

/** One token, or SOL where there is no `mint`, and how it is asked for. */
export type SolanaToken = { readonly asset: Asset; readonly mint: MintFacts | undefined; readonly rpc: Rpc }

/** How a wallet pays: whether it opens the token accounts of those it pays, and its price of computing in millionths of a lamport. */
export type RailOptions = SolanaToken & {
  readonly chain: SolanaChain
  readonly sender: SolanaSender
  readonly openAccounts: boolean
  readonly microLamports: bigint
}

type Abortable = { readonly signal?: AbortSignal | undefined }

/**
 * How a wallet sends a token, or SOL, by transactions of its own: signed after the chain has run them without effect.
 *
 * Errors of `sign` and `cost`: `token/insufficient`, `token/would-fail`, `config/no-token-account`, `config/bad-owner`,
 * `config/mint-mismatch`, `config/wrong-chain`, `solana/rpc`.
 */
export function solanaRail(options: RailOptions): NonNullable<TokenChain['rail']> {
  const { chain, sender } = options
  return {
    network: chain.network,
    sender: sender.address,
    async sign(transfer, given) {
      const { unsigned } = await prepare(transfer, options, given)
      return await signOwn(unsigned, { sender, ed25519: chain.ed25519 })
    },
    send: (signed) => chain.send(signed),
    status: (signed) => chain.status(signed),
    final: () => chain.final(),
    // A blockhash may run out while a signer thinks.
    retries: (error) => isX402Error(error, 'solana/refused'),
    async cost(transfer, given) {
      const { fee, rent } = await prepare(transfer, options, given)
      return { fee, ...(rent === 0n ? {} : { rent }) }
    },
  }
}

/** What an address holds of a token in its associated account, or of SOL. Errors: `solana/rpc`, `solana/call-failed`. */
export async function heldIn(owner: string, { rpc, mint }: SolanaToken, options: Abortable): Promise<bigint> {
  const reader = readerOf(rpc)
  if (mint !== undefined) return heldBy(await reader.account(accountOf(owner, mint), options)) ?? 0n
  const params = [owner, { commitment: 'confirmed' }]
  const { value } = await rpc.ask({ method: 'getBalance', params, result: z.looseObject({ value: z.int() }) }, options)
  return BigInt(value)
}

type Prepared = { readonly unsigned: Transaction; readonly fee: bigint; readonly rent: bigint }

async function prepare(transfer: Transfer, options: RailOptions, { signal }: Abortable): Promise<Prepared> {
  const { chain, asset, rpc, mint, sender, microLamports } = options
  await chain.start({ signal })
  const opening = await openingFor(transfer.recipient, options, { signal })
  const parts =
    mint === undefined
      ? [coinInstruction(sender.address, transfer)]
      : [...opening.instructions, tokenInstruction(sender.address, transfer, mint)]
  const computeUnits = BigInt(unitsOf[mint === undefined ? 'coin' : opening.rent > 0n ? 'opening' : 'token'])
  const budget = [getSetComputeUnitLimitInstruction({ units: Number(computeUnits) }), getSetComputeUnitPriceInstruction({ microLamports })]
  const { blockhash: recent } = await readerOf(rpc).recentBlockhash({ signal })
  const unsigned = ownTransaction({ payer: sender.address, recent, instructions: [...budget, ...parts, unlike()] })
  if (unsigned === undefined) throw tokenErrors('token/would-fail', { why: 'its transaction could not be built' })
  const fee = feeOf(unsigned, { computeUnits, microLamports })
  await checkFunds({ sender: sender.address, amount: transfer.amount, cost: fee + opening.rent }, { asset, mint, rpc }, { signal })
  const { failure } = await chain.simulate(unsigned, { signal })
  if (failure !== undefined) throw tokenErrors('token/would-fail', { why: failure })
  return { unsigned, fee, rent: opening.rent }
}

// What each asks for with its memo, with room for what addresses cost to derive.
const unitsOf = { coin: 30_000, token: 60_000, opening: 110_000 }

/** Two payments of the same amount to the same recipient within one block would be one transaction, and paid once. */
function unlike(): Instruction {
  return getAddMemoInstruction({ memo: crypto.randomUUID() }, { programAddress: address(memoProgram.address) })
}

type Opening = { readonly instructions: readonly Instruction[]; readonly rent: bigint }

// With what Token-2022 adds to associated accounts: that their owner never changes.
const accountBytes = { spl: 165, token2022: 170 }

/** What a recipient needs before it can be paid: its token account is opened along the way where that is meant. */
async function openingFor(recipient: string, options: RailOptions, { signal }: Abortable): Promise<Opening> {
  const { chain, asset, mint, sender, rpc, openAccounts } = options
  const reader = readerOf(rpc)
  await refuseOwner(reader, { owner: recipient, signal })
  if (mint === undefined) return { instructions: [], rent: 0n }
  const payee = { network: chain.network, payTo: recipient, asset: asset.address, mint }
  await checkMint(reader, payee, { signal })
  const account = accountOf(recipient, mint)
  const exists = (await reader.account(account, { signal })) !== undefined
  if (exists || !openAccounts) {
    await checkRecipient(reader, payee, { signal })
    return { instructions: [], rent: 0n }
  }
  const space = mint.program === token2022 ? accountBytes.token2022 : accountBytes.spl
  const rent = await rpc.ask({ method: 'getMinimumBalanceForRentExemption', params: [space], result: z.int() }, { signal })
  const instruction = getCreateAssociatedTokenIdempotentInstruction({
    payer: createNoopSigner(address(sender.address)),
    ata: address(account),
    owner: address(recipient),
    mint: address(asset.address),
    tokenProgram: address(mint.program.address),
  })
  return { instructions: [instruction], rent: BigInt(rent) }
}

type Funding = { readonly sender: string; readonly amount: bigint; readonly cost: bigint }

async function checkFunds({ sender, amount, cost }: Funding, paid: SolanaToken, options: Abortable): Promise<void> {
  const sol = { asset: assetOf(paid.asset.network, 'SOL'), mint: undefined, rpc: paid.rpc }
  const needs =
    paid.mint === undefined
      ? [{ of: sol, needed: amount + cost }]
      : [
          { of: paid, needed: amount },
          { of: sol, needed: cost },
        ]
  for (const { of, needed } of needs) {
    const held = await heldIn(sender, of, options)
    if (held < needed)
      throw tokenErrors('token/insufficient', {
        address: sender,
        held: formatAmount(held, of.asset),
        needed: formatAmount(needed, of.asset),
      })
  }
}
