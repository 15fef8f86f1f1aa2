import type { Asset, FacilitatorScheme, Outcome, PaymentKey, PaymentPayload, Submission, Verdict } from '@flow402x/core'
import { decodeBase58 } from '../chain/base58.ts'
import { encodeBase64 } from '../chain/base64.ts'
import { readEffects } from '../chain/confirmation.ts'
import { solanaErrors } from '../chain/errors.ts'
import type { SolanaChain } from '../chain/solana-chain.ts'
import { decodeTransaction, messageHash, type Transaction } from '../chain/transaction.ts'
import { checkMint, payableAsset } from '../exact/recipient.ts'
import { accountsOf, channelIdOf, textOf } from './channel.ts'
import { isVoucher, voucherTransaction } from './voucher.ts'
import { type NoncePayload, nonceReason, nonceScheme, readNoncePayload, refuseTerms } from './wire.ts'

/** What settling over channels of nonces takes. */
export type NonceVoucherFacilitatorOptions = {
  /** Its signers are authorities of nonces: the first is advertised. */
  readonly chain: SolanaChain
  /** The token that is served: a symbol or address of the table, or all facts of one that is not. The network's stablecoin unless told. */
  readonly asset?: string | Asset
  /** Unix seconds. */
  readonly now?: () => number
}

/**
 * Settles over channels of nonces (FS/1 §12.3): the authority adds its signature to a voucher, which ends the voucher's epoch. It is asked by
 * receivers and delivers nothing, so whoever asks again hears the same.
 *
 * Errors: `config/foreign-asset`, `config/not-a-token`, `config/bad-address` at creation; `config/wrong-chain`, `config/no-token`,
 * `config/mint-mismatch`, `solana/rpc` from `start`; `solana/rpc`, `solana/call-failed` from `verify`; `solana/not-settleable` from `plan`.
 */
export function nonceVoucherFacilitator({
  chain,
  now = () => Date.now() / 1000,
  ...options
}: NonceVoucherFacilitatorOptions): FacilitatorScheme {
  const { network, signers, ed25519 } = chain
  const { asset, mint } = payableAsset(network, options.asset)
  if (asset.transfer !== 'spl-token') throw solanaErrors('config/not-a-token', { network, asset: asset.symbol })
  const [nonceAuthority = ''] = signers
  const { decimals } = mint

  const settling = (payment: PaymentPayload): Settling | undefined => {
    const payload = readNoncePayload(payment)
    return payload?.type === 'settle' ? settlingOf(payload, decimals) : undefined
  }
  return {
    scheme: nonceScheme,
    network,
    writer: chain,
    supported: () => ({ x402Version: 2, scheme: nonceScheme, network, extra: { nonceAuthority } }),
    async start({ signal } = {}) {
      await chain.start({ signal })
      const reader = { account: async (address: string) => (await chain.accounts([address], { signal }))[0] }
      await checkMint(reader, { network, payTo: nonceAuthority, asset: asset.address, mint }, { signal })
    },
    key: (payment) => (payment.accepted.network === network ? keyOf(settling(payment), { network, now: now() }) : undefined),
    // It takes from a channel's own purse, which promises nothing to anybody else.
    draw: () => 0n,
    async verify(submission, { signal } = {}) {
      const { payment, requirements } = submission
      const payload = readNoncePayload(payment)
      const told = settling(payment)
      if (payload === undefined) return refused('payload')
      if (told === undefined) return refused('payload_type')
      if (requirements.network !== network) return refused('network_mismatch')
      if (payload.channel.asset !== asset.address) return refused('asset_mismatch')
      const wrong = refuseTerms(payload, submission)
      if (wrong !== undefined) return { valid: false, ...wrong }
      const { channel, voucher } = payload
      if (!signers.includes(channel.nonceAuthority) || signers.includes(channel.session) || signers.includes(channel.payer))
        return refused('authority_mismatch')
      const { amount, transaction } = told
      if (BigInt(requirements.amount) !== amount) return refused('cumulative_amount_mismatch')
      const signature = decodeBase58(voucher.signature) ?? new Uint8Array()
      if (!(await isVoucher(channel, { nonce: voucher.nonce, amount, decimals, signature }, { ed25519 })))
        return refused('voucher_signature')
      const { failure } = await chain.simulate(transaction, { signal })
      const payer = channel.payer
      return failure === undefined ? { valid: true, payer } : { ...refused('settlement_simulation'), message: failure, payer }
    },
    plan({ payment }) {
      const payload = readNoncePayload(payment)
      const told = settling(payment)
      if (payload === undefined || told === undefined) throw solanaErrors('solana/not-settleable', { reason: nonceReason('payload_type') })
      const { channel } = payload
      // The chain signs what names its signer only where the channel's own terms lead to every account of it.
      return [
        {
          target: textOf(channel),
          data: encodeBase64(told.transaction.bytes),
          gas: 20_000n,
          alone: true,
          signer: channel.nonceAuthority,
        },
      ]
    },
    outcome(submission, { transaction, status }) {
      const told = settling(submission.payment)
      return outcomeOf(submission, { told, transaction, network, ...status })
    },
  }
}

/** A voucher that is to be settled: the transaction, and what it moves. */
type Settling = { readonly payload: NoncePayload; readonly amount: bigint; readonly transaction: Transaction }

function settlingOf(payload: NoncePayload, decimals: number): Settling | undefined {
  const { channel, voucher } = payload
  const amount = BigInt(voucher.maxClaimableAmount) - BigInt(voucher.settled)
  const signature = decodeBase58(voucher.signature)
  if (signature === undefined || amount <= 0n || amount >= 1n << 64n || channelIdOf(channel) !== voucher.channelId) return undefined
  const transaction = decodeTransaction(voucherTransaction(channel, { nonce: voucher.nonce, amount, decimals, signature }))
  return transaction && { payload, amount, transaction }
}

function refused(name: Parameters<typeof nonceReason>[0]): Verdict & { readonly valid: false } {
  return { valid: false, reason: nonceReason(name) }
}

const thirtyDays = 30 * 86_400

/** What makes it itself is its message. It dies with its nonce and never by time: it is met for a month, and asked for of the chain. */
function keyOf(told: Settling | undefined, { network, now }: { readonly network: string; readonly now: number }): PaymentKey | undefined {
  if (told === undefined) return undefined
  const { payload, transaction } = told
  const deadAfter = Math.ceil(now / thirtyDays + 1) * thirtyDays
  return { id: `${network}/${messageHash(transaction)}`, payer: payload.channel.payer, deadAfter, told: 'anyone' }
}

type Seen = {
  readonly told: Settling | undefined
  readonly transaction: string
  readonly network: string
  readonly success: boolean
  readonly logs: Parameters<typeof readEffects>[0]
}

/** Settled is what the mined transaction itself moved, and nothing else is believed (M1, M30). */
function outcomeOf({ requirements: { asset } }: Submission, { told, transaction, network, success, logs }: Seen): Outcome {
  const failed = { status: 'notSettled', network, transaction, retry: 'never', reason: nonceReason('settlement_failed') } as const
  if (told === undefined) return failed
  const { payload, amount } = told
  const { payer } = payload.channel
  const effects = readEffects(logs)
  const { purse, destination } = accountsOf(payload.channel)
  const isOwn = effects.message === messageHash(told.transaction)
  const moved = isOwn && success && -effects.changeOf(purse, asset) === amount && effects.changeOf(destination, asset) === amount
  if (!moved) return { ...failed, payer }
  return { status: 'settled', transaction, network, payer, amount: `${amount}`, extra: { channelId: payload.voucher.channelId } }
}
