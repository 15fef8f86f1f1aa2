import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { fastestSecp256k1 } from '@flow402x/adapters-evm/facilitator'
import type { PaymentPayload, PaymentRequirements } from '@flow402x/core'
import type { EvmChain } from '@flow402x/testing'
import { channelPayer } from '@flow402x/testing/contracts'
import { concat, type Hex, keccak256, numberToHex } from 'viem'

/** A payer with one channel that is filled. Amounts are atomic. */
export type Purse = {
  /** A payment with a voucher for everything up to `max`. */
  pay(max: bigint): Promise<PaymentPayload>
  /** The voucher alone. */
  sign(max: bigint): Promise<Voucher>
}

/** A voucher as a payment carries it. */
export type Voucher = { readonly channelId: Hex; readonly maxClaimableAmount: string; readonly signature: Hex }

/** What is asked for, and how much a channel holds for it; `salt` makes two channels differ. */
export type Opening = { readonly accepted: PaymentRequirements; readonly salt: bigint; readonly holds: bigint }

/** Opens a channel of the buyer's and fills it, past the seller. */
export async function openPurse(chain: EvmChain, { accepted, salt, holds }: Opening): Promise<Purse> {
  const payer = await channelPayer(chain, { key: chain.buyer.privateKey, accepted, salt })
  const filled = await payer.fill(holds, 1n)
  if (filled !== 'done') throw new Error(`A channel was not filled: ${filled}.`)
  const { payload, ...payment } = await payer.voucher(0n)
  const signer = privateKeySigner(chain.buyer.privateKey, { secp256k1: fastestSecp256k1() })
  const sign = async (max: bigint): Promise<Voucher> => {
    // A signature of a signer of ours is hex.
    const signature = (await signer.sign({ hash: digestOf(payer.id, max) })) as Hex
    return { channelId: payer.id, maxClaimableAmount: `${max}`, signature }
  }
  return { sign, pay: async (max) => ({ ...payment, payload: { ...payload, voucher: await sign(max) } }) }
}

// wire.md §20: by hand, since a load of thousands would wait for typed data to be hashed.
const [domain, type] = [
  '0xfdef80764086b1e0fc6ba99f0cb9aa1d59109fda7c23d60334c89d2de44dffce',
  '0x1e1bd6ff84c3e0d9029a292b212e039c0ca97ec497c55191a4a5874294609a69',
] as const

function digestOf(channelId: Hex, max: bigint): Hex {
  const voucher = keccak256(concat([type, channelId, numberToHex(max, { size: 32 })]))
  return keccak256(concat(['0x1901', domain, voucher]))
}
