import type { Rail } from '@flow402x/core/stream'
import { decodeBase58, encodeBase58 } from '../../chain/base58.ts'
import type { Ed25519 } from '../../crypto/ed25519.ts'
import { type ExactScheme, exactRail, standingText } from '../../vouchers/rail.ts'
import type { NonceChannel } from '../channel.ts'
import type { Epoch } from '../state.ts'
import { isVoucher } from '../voucher.ts'
import { nonceReason, readNoncePayload, refuseTerms } from '../wire.ts'
import type { NonceBooks } from './books.ts'
import { readRow, readSignature, signatureText, withVoucher } from './row.ts'

/** What a rail over channels of nonces is made of. */
export type NonceRailParts = Pick<ExactScheme<NonceChannel>, 'freshFor' | 'clock' | 'network'> & {
  readonly books: NonceBooks
  readonly decimals: number
  readonly ed25519: Ed25519
}

/** A rail over channels of nonces (FS/1 §12.3): a settlement ends every other voucher of its epoch. */
export function railOf({ books, decimals, ed25519, ...parts }: NonceRailParts): Rail {
  return exactRail<NonceChannel>({
    ...parts,
    books,
    reason: nonceReason,
    read(payment) {
      const payload = readNoncePayload(payment)
      if (payload?.type !== 'voucher') return undefined
      const { channel, voucher } = payload
      const { channelId, maxClaimableAmount, settled, signature } = voucher
      return { terms: channel, payer: channel.payer, channelId, max: BigInt(maxClaimableAmount), settled: BigInt(settled), signature }
    },
    async refuse({ terms, max }, submission) {
      const payload = readNoncePayload(submission.payment)
      const refusal = payload && refuseTerms(payload, submission)
      if (payload === undefined || refusal !== undefined) return refusal ?? { reason: nonceReason('payload') }
      const { nonce, settled, signature } = payload.voucher
      const signed = { nonce, amount: max - BigInt(settled), decimals, signature: decodeBase58(signature) ?? new Uint8Array() }
      return (await isVoucher(terms, signed, { ed25519 })) ? undefined : { reason: nonceReason('voucher_signature') }
    },
    termsOf: (channel) => readRow(channel)?.channel,
    payerOf: ({ payer }) => payer,
    async signed(channel, id, { max, signature: given }) {
      const signature = typeof given === 'string' ? decodeBase58(given) : given
      if (signature?.length !== 64) return undefined
      const tried = new Set<string>()
      const by = async (epochs: readonly Epoch[]): Promise<string | undefined> => {
        for (const { nonce, settled } of epochs.filter((one) => !tried.has(one.nonce))) {
          tried.add(nonce)
          const voucher = { nonce, amount: max - settled, decimals, signature }
          if (await isVoucher(channel, voucher, { ed25519 })) return signatureText(nonce, signature)
        }
        return undefined
      }
      // Over the nonce of before it is still its payer's word: he is told that the nonce has moved on (M26). Another process may know of
      // a newer one.
      const known = await by(books.epochs(id))
      if (known !== undefined) return known
      if ((await books.find(id)) === undefined) await books.learn(id, { channel })
      return await by(books.epochs(id))
    },
    written(payment) {
      const { nonce, signature } = readNoncePayload(payment)?.voucher ?? {}
      const bytes = decodeBase58(signature ?? '')
      return nonce === undefined || bytes === undefined ? undefined : signatureText(nonce, bytes)
    },
    view(channel) {
      const { ring = [], settled = 0n, settling } = readRow(channel) ?? {}
      return { ring, settled, isSettling: settling !== undefined }
    },
    isDead(channel, { signature, settled }) {
      const row = readRow(channel)
      const nonce = readSignature(signature)?.nonce
      if (row?.settling !== undefined) return 'settling'
      return nonce !== row?.nonce || (settled !== undefined && settled !== row?.settled) ? 'stale-nonce' : undefined
    },
    withVoucher(channel, voucher) {
      const row = readRow(channel)
      return row === undefined ? channel : withVoucher(channel, row, voucher)
    },
    stateOf(channel) {
      const { nonce, settled, last, ring = [] } = readRow(channel) ?? {}
      const highest = ring.at(-1)
      const { signature } = readSignature(highest?.signature ?? '') ?? {}
      return {
        ...standingText(channel),
        nonce,
        settled: `${settled}`,
        ...(last === undefined ? {} : { transaction: last }),
        // His own voucher, for who has lost his books: all that is told here was asked for with a signature of his.
        ...(highest === undefined || signature === undefined
          ? {}
          : { signedMaxClaimable: `${highest.max}`, signature: encodeBase58(signature) }),
      }
    },
  })
}
