import type { Filling } from '@flow402x/core'
import * as z from 'zod/mini'
import { toHex } from '../../crypto/bytes.ts'
import type { Permit2Deposit } from '../../crypto/eip712.ts'
import { payerErrors } from '../../crypto/errors.ts'
import { type EvmSigner, signWith } from '../../crypto/signer.ts'
import { allowanceFor } from '../../permit2/allowance.ts'
import { permit2Digest, permit2TypedData } from '../../permit2/typed-data.ts'
import { permit2Collector } from '../calls.ts'
import { signDeposit } from '../signing.ts'
import type { ChannelReader } from './books.ts'
import type { ChannelOffer } from './offer.ts'

/** With what a deposit is signed; `until` in Unix seconds by the seller's clock. */
export type DepositSigning = {
  readonly signer: EvmSigner
  readonly random: (bytes: Uint8Array<ArrayBuffer>) => Uint8Array
  readonly until: bigint
  readonly chain: ChannelReader | undefined
  /** The extensions of the 402. */
  readonly offered: Readonly<Record<string, unknown>> | null | undefined
  readonly signal: AbortSignal | undefined
}

// Clocks differ, and a node takes what has just expired.
const doubtMs = 60_000

/**
 * Signs a deposit, by EIP-3009 or by Permit2 as the offer asks: good for its channel and for no other, once.
 *
 * Errors: `evm/bad-signature`, `evm/approval-required`, `evm/rpc`, and whatever the signer throws.
 */
export async function signFilling(offer: ChannelOffer, amount: bigint, options: DepositSigning): Promise<Omit<Filling, 'by'>> {
  const brought = offer.domain === undefined ? await byPermit2(offer, amount, options) : await byEip3009(offer, amount, options)
  return { amount, until: Number(options.until) * 1000 + doubtMs, authorization: brought }
}

/** What brings a deposit: its authorization as a payment has it, and what the payment says in extensions beside. */
export const broughtSchema = z.object({
  authorization: z.record(z.string(), z.unknown()),
  extensions: z.exactOptional(z.record(z.string(), z.record(z.string(), z.unknown()))),
})

async function byEip3009({ config, chainId, domain }: ChannelOffer, amount: bigint, { signer, random, until }: DepositSigning) {
  const salt = toHex(random(new Uint8Array(32)))
  if (domain === undefined) throw payerErrors('evm/unsupported-terms', { why: 'extra has no EIP-712 name and version' })
  const terms = { amount, validAfter: 0n, validBefore: until, salt: BigInt(salt), domain }
  const { signature } = await signDeposit(config, terms, { signer, chainId })
  return { authorization: { erc3009Authorization: { validAfter: '0', validBefore: `${until}`, salt, signature } } }
}

async function byPermit2({ config, chainId, id, requirements }: ChannelOffer, amount: bigint, options: DepositSigning) {
  const { signer, random, until: deadline, chain, offered, signal } = options
  const { payer: from, token } = config
  const asked = { ...requirements, amount: `${amount}` }
  const wanted = { requirements: asked, asset: token, owner: from, deadline, offered, maxApprovalFee: undefined }
  const extensions = chain && (await allowanceFor(wanted, { rpc: chain.rpc, signer, signal }))
  const nonce = BigInt(toHex(random(new Uint8Array(32))))
  const deposit: Permit2Deposit = { permitted: { token, amount }, spender: permit2Collector, nonce, deadline, witness: { channelId: id } }
  const signature = await signWith(signer, {
    digest: () => permit2Digest(chainId, deposit),
    typedData: () => permit2TypedData(chainId, deposit),
  })
  const permitted = { token, amount: `${amount}` }
  const permit2Authorization = { from, ...deposit, permitted, nonce: `${nonce}`, deadline: `${deadline}`, signature }
  return { authorization: { permit2Authorization }, ...(extensions === undefined ? {} : { extensions }) }
}
