import * as z from 'zod/mini'
import { sameBytes } from '../chain/address.ts'
import { encodeBase58 } from '../chain/base58.ts'
import { type MinedTransaction, readMined } from '../chain/confirmation.ts'
import { solanaErrors } from '../chain/errors.ts'
import { accountsSchema } from '../chain/reader.ts'
import type { Rpc } from '../chain/rpc.ts'
import { nonceAccountOf } from '../chain/transaction.ts'
import { accountsOf, bytesOf, type NonceChannel } from './channel.ts'
import { isMultisig, nonceOf, spendable } from './stored.ts'
import { readVoucher } from './voucher.ts'

/** Where a channel stands: what was settled over it in all its epochs, and the nonce that the next voucher is signed over. */
export type Epoch = {
  readonly nonce: string
  readonly settled: bigint
  /** The newest transaction that is known to have advanced the nonce. */
  readonly last?: string
}

/** What a chain says of a channel at one moment; `spendable` is what vouchers of the epoch can take. Atomic units. */
export type ChannelState = { readonly epoch: Epoch; readonly spendable: bigint }

type Reading = { readonly known?: Epoch | undefined; readonly signal?: AbortSignal | undefined }

// A nonce that advances while its history is read is read again.
const mostTries = 4

/**
 * Reads a channel from confirmed blocks; nothing where it was never opened, or obeys other keys than it says. What was settled is told by
 * the transactions that advanced the nonce and by what each of them moved, never by balances, which its payer can change (M30); one that
 * moved nothing settled nothing. From `known` on only what came since is read.
 *
 * Errors: `solana/channel-behind` where the node does not show yet what advanced the nonce; `solana/rpc`, `solana/call-failed`.
 */
export async function readChannel(rpc: Rpc, channel: NonceChannel, { known, signal }: Reading = {}): Promise<ChannelState | undefined> {
  const { id, purse, multisig } = accountsOf(channel)
  for (let tries = 0; tries < mostTries; tries += 1) {
    const params = [[id, purse, multisig], { encoding: 'base64', commitment: 'confirmed' }]
    const { context, value } = await rpc.ask({ method: 'getMultipleAccounts', params, result: accountsSchema }, { signal })
    const [nonceAccount, purseAccount, multisigAccount] = value.map((account) => account ?? undefined)
    const nonce = nonceOf(nonceAccount, channel)
    if (nonce === undefined || !isMultisig(multisigAccount, channel)) return undefined
    const left = spendable(purseAccount, channel)
    if (nonce === known?.nonce) return { epoch: known, spendable: left }
    const advances = await readAdvances(rpc, channel, { known, slot: context.slot, signal })
    if (advances === undefined) continue
    const { consumed, settled, last } = advances
    // Something advanced it that is not seen: neither zero nor anything else may be concluded from that.
    const isWhole = known === undefined || consumed.has(known.nonce)
    if (!isWhole || consumed.has(nonce)) continue
    return { epoch: { nonce, settled: (known?.settled ?? 0n) + settled, ...(last === undefined ? {} : { last }) }, spendable: left }
  }
  throw solanaErrors('solana/channel-behind', { host: rpc.host, channel: id })
}

type Advances = { readonly consumed: ReadonlySet<string>; readonly settled: bigint; readonly last: string | undefined }

const signaturesSchema = z.array(z.looseObject({ signature: z.string() }))
const pageSize = 1000

/** What advanced a nonce since it was last looked at; nothing where the node cannot show it all. */
async function readAdvances(
  rpc: Rpc,
  channel: NonceChannel,
  { known, slot, signal }: Reading & { readonly slot: number },
): Promise<Advances | undefined> {
  const { id } = accountsOf(channel)
  const [consumed, found]: [Set<string>, MinedTransaction[]] = [new Set(), []]
  let before: string | undefined
  let last: string | undefined
  for (;;) {
    const config: Record<string, unknown> = { commitment: 'confirmed', limit: pageSize, minContextSlot: slot, until: known?.last, before }
    const page = await rpc.ask({ method: 'getSignaturesForAddress', params: [id, config], result: signaturesSchema }, { signal })
    for (const { signature } of page) {
      const mined = await readMined(rpc, signature, { signal })
      if (mined === undefined) return undefined
      const advanced = nonceAccountOf(mined.transaction)
      if (advanced === undefined || !sameBytes(advanced, bytesOf(id))) continue
      last ??= signature
      consumed.add(encodeBase58(mined.transaction.blockhash))
      found.push(mined)
    }
    before = page.at(-1)?.signature
    if (page.length < pageSize) break
  }
  return { consumed, settled: found.reduce((sum, mined) => sum + movedBy(mined, channel), 0n), last: last ?? known?.last }
}

/** What a mined transaction settled over a channel: what reached the receiver out of the purse by a voucher, and by nothing else. */
function movedBy({ transaction, success, accounts, tokens }: MinedTransaction, channel: NonceChannel): bigint {
  const voucher = success ? readVoucher(channel, transaction) : undefined
  if (voucher === undefined) return 0n
  const { purse } = accountsOf(channel)
  const change = tokens.find(({ account, mint }) => accounts[account] === purse && mint === channel.asset)?.change ?? 0n
  return -change
}
