import { findAsset, isX402Error, type PaymentRequirements } from '@flow402x/core'
import { decodeWord, encodeCall, hexSchema, type Target } from '../chain/abi.ts'
import { evmErrors } from '../chain/errors.ts'
import { feeSource, quantity } from '../chain/fees.ts'
import type { Rpc } from '../chain/rpc.ts'
import { signedTransaction, type Transaction, transactionDigest } from '../chain/transaction.ts'
import { tokenDomain } from '../checks/signed.ts'
import { type Hex, toBytes, toHex } from '../crypto/bytes.ts'
import { permitDigest, permitTypedData, type TokenDomain } from '../crypto/eip712.ts'
import { canonicalSignature } from '../crypto/secp256k1.ts'
import { type EvmSigner, signWith } from '../crypto/signer.ts'
import { allowanceCall, approveAll, everything } from './proxy.ts'
import { approvalSponsoring, permitSponsoring } from './sponsoring.ts'
import { permit2Address } from './wire.ts'

/** What a payer is asked for, and until when. `offered` are the extensions of the 402; `maxApprovalFee` in wei. */
export type Wanted = {
  readonly requirements: PaymentRequirements
  readonly asset: Hex
  readonly owner: Hex
  readonly deadline: bigint
  readonly offered: Readonly<Record<string, unknown>> | null | undefined
  readonly maxApprovalFee: bigint | undefined
}

/** With what it is asked and signed. */
export type Means = { readonly rpc: Rpc; readonly signer: EvmSigner; readonly signal: AbortSignal | undefined }

/** What a payment says in the extensions of gas sponsoring (wire.md §16.5). */
export type Sponsored = Readonly<Record<string, Readonly<Record<string, unknown>>>>

/**
 * What must go along with a payment so that Permit2 may take it: nothing where it may already; an EIP-2612 permit of just this amount where
 * the seller takes one and the token has it; else, where the payer said what that may cost him, his signed approval.
 *
 * Errors: `evm/approval-required`, before anything is signed; `evm/rpc`, `evm/call-failed`, `evm/bad-signature`, and whatever the signer throws.
 */
export async function allowanceFor(wanted: Wanted, means: Means): Promise<Sponsored | undefined> {
  const { requirements, asset, owner } = wanted
  const { network } = requirements
  const needed = BigInt(requirements.amount)
  const allowed = (await wordOf(allowanceCall(asset, owner), means)) ?? 0n
  if (allowed >= needed) return undefined
  const sponsored = (await permitFor(wanted, means)) ?? (await approvalFor(wanted, means))
  if (sponsored === undefined) throw evmErrors('evm/approval-required', { network, asset, owner, needed, spender: permit2Address, allowed })
  return sponsored
}

async function permitFor({ requirements, asset, owner, deadline, offered }: Wanted, means: Means): Promise<Sponsored | undefined> {
  const domain = permitDomain(requirements)
  if (offered?.[permitSponsoring] == null || domain === undefined) return undefined
  const nonce = await wordOf({ target: asset, data: encodeCall('0x7ecebe00', [owner]) }, means).catch(unlessRefused)
  if (nonce === undefined) return undefined
  const value = BigInt(requirements.amount)
  const permit = { owner, spender: permit2Address, value, nonce, deadline } as const
  const signature = await signWith(means.signer, {
    digest: () => permitDigest(domain, permit),
    typedData: () => permitTypedData(domain, permit),
  })
  // Proxies hand on r, s and v: what a smart wallet signs in another form is of no use there.
  if (signature.length !== 132) return undefined
  const facts = { amount: `${value}`, nonce: `${nonce}`, deadline: `${deadline}`, signature }
  return { [permitSponsoring]: { from: owner, asset, spender: permit2Address, ...facts, version: '1' } }
}

/** The domain of a token with EIP-2612: of a known token its own, of any other the one that is offered. */
function permitDomain(requirements: PaymentRequirements): TokenDomain | undefined {
  const domain = tokenDomain(requirements)
  const known = findAsset(requirements.network, requirements.asset)
  if (domain === undefined || known === undefined) return domain
  const { eip712, permit } = known
  return permit !== false && eip712?.name === domain.name && eip712.version === domain.version ? domain : undefined
}

/** A token that does not count permits has none. */
function unlessRefused(error: unknown): undefined {
  if (!isX402Error(error, 'evm/call-failed')) throw error
  return undefined
}

async function wordOf({ target: to, data }: Target, { rpc, signal }: Means): Promise<bigint | undefined> {
  return decodeWord(await rpc.ask({ method: 'eth_call', params: [{ to, data }, 'latest'], result: hexSchema }, { signal }))
}

// wire.md §16.5.
const approvalGas = 70_000n

async function approvalFor({ requirements, asset, owner, offered, maxApprovalFee }: Wanted, means: Means): Promise<Sponsored | undefined> {
  const { rpc, signer, signal } = means
  if (offered?.[approvalSponsoring] == null || maxApprovalFee === undefined || signer.sign === undefined) return undefined
  const nonce = await rpc.ask({ method: 'eth_getTransactionCount', params: [owner, 'pending'], result: quantity }, { signal })
  const fees = await feeSource({ rpc, clock: () => 0 }, {})()
  if (approvalGas * fees.maxFeePerGas > maxApprovalFee) return undefined
  const chainId = BigInt(requirements.network.slice('eip155:'.length))
  const transaction: Transaction = { chainId, nonce, ...fees, gas: approvalGas, to: asset, value: 0n, data: approveAll() }
  const signature = canonicalSignature(toBytes(await signer.sign({ hash: toHex(transactionDigest(transaction)) })))
  // A smart wallet's own account sends no transactions.
  if (signature === undefined) return undefined
  const facts = { amount: `${everything}`, signedTransaction: signedTransaction(transaction, signature) }
  return { [approvalSponsoring]: { from: owner, asset, spender: permit2Address, ...facts, version: '1' } }
}
