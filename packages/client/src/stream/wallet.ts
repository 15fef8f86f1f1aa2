import {
  defineErrors,
  echoExtensions,
  type Prepared,
  type PrepareOptions,
  paymentSignatureHeader,
  type SettleResponse,
  type SignedPayment,
} from '@flow402x/core'
import {
  costOf,
  type LaneAccount,
  readStreamOffer,
  type StreamWallet,
  streamKey,
  streamVoucher,
  type WalletLane,
} from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { correctionIn } from '../correction/correction.ts'
import { type Candidate, sameTerms, type Terms } from '../engine/choose.ts'
import { ask, type Client, walletOf } from '../engine/client.ts'
import { clientErrors } from '../engine/errors.ts'
import { consider, pay, type Wallet } from '../engine/pay.ts'
import { bindingOf, clockSkew, hex, withPayment } from '../engine/sign.ts'
import { checkPayee } from '../guard/payees.ts'
import { type Message, readMessage, sendMessage } from '../http/message.ts'
import type { Asked } from '../http/offer-memory.ts'
import { receiptOf } from '../http/receipt.ts'
import { type Allowance, createAllowance } from './allowance.ts'

/** What `payStream` pays with: a client, with its budget, its payees and its rules. Errors: `client/bad-option` for one that is not `createClient`'s. */
export function streamWallet(client: Client): StreamWallet {
  const wallet = walletOf(client)
  return {
    fetch: client.fetch,
    send: wallet.fetch,
    async open(input, init, { window, atTick = false }) {
      const answer = await ask(wallet, await readMessage(input, init))
      const { url } = answer.message
      if (!('offer' in answer)) return { response: answer.response, url }
      const { required } = answer.offer
      const assetOf = ({ network, asset }: { network: string; asset: string }) => wallet.limits.asset(network, asset)
      const stream = required && readStreamOffer(required, { headers: answer.response.headers, assetOf })
      const [chosen] = stream === undefined ? [] : (await consider(wallet, answer)).candidates
      const entry = stream?.entries.find(({ requirements }) => chosen !== undefined && sameTerms(requirements, chosen.terms.requirements))
      if (stream === undefined || chosen === undefined || entry === undefined)
        return { response: await pay(wallet, answer, undefined), url }
      const about = { url, terms: { ...stream.terms, rate: entry.rate }, asset: chosen.terms.asset }
      if (chosen.scheme.lanes === undefined) return { response: await pay(wallet, answer, undefined), ...about }
      const ahead = costOf(entry.rate, window(about.terms))
      const door = atTick ? doorAt(answer.message, about.terms.tickUrl) : answer.message
      return { ...(await openLane(wallet, answer, { chosen, window: ahead, door })), ...about }
    },
  }
}

/** Where a lane is opened that another transport names (M1 of streaming.md §6). */
function doorAt(message: Message, tickUrl: string): Message {
  return { ...message, url: new URL(tickUrl, message.url).href, method: 'POST', headers: new Headers(), body: undefined }
}

type Opening = { readonly chosen: Candidate; readonly window: bigint; readonly door: Message }

async function openLane(wallet: Wallet, asked: Asked, { chosen, window, door }: Opening) {
  const { message, response: first } = asked
  const { url, signal } = message
  const { requirements } = chosen.terms
  wallet.breaker.assertClosed(url)
  const given = await prepareOptions(wallet, asked, chosen.terms)
  const allowance = createAllowance(wallet, chosen.terms, signal)
  await allowance.add(window)
  let account: LaneAccount | undefined
  try {
    const payee = await checkPayee(chosen.terms, { ...wallet, signal })
    await payee.pin()
    await first.body?.cancel()
    account = await chosen.scheme.lanes?.open(requirements, window, given)
    if (account === undefined) throw clientErrors('client/no-payable-offer', { url, leftOut: [] })
    const lane = walletLane(wallet, asked, { account, allowance, chosen, window, door, given })
    await lane.cover()
    const response = await lane.enter()
    return { response, lane: lane.lane }
  } catch (error) {
    // What was signed stays in the books as credit of the channel, and the next payment uses it first.
    await account?.close(0n)
    await allowance.end(0n)
    throw error
  }
}

type Laning = Opening & {
  readonly account: LaneAccount
  readonly allowance: Allowance
  readonly given: PrepareOptions
}

function walletLane(wallet: Wallet, asked: Asked, { account, allowance, chosen, window, door, given }: Laning) {
  const { message, offer } = asked
  const { requirements } = chosen.terms
  let covered = window

  /** Sets aside what the lane may use beyond what was: credit that it found in its channel. */
  async function cover(): Promise<void> {
    const { used, credit } = account.standing()
    await allowance.add(used + credit - covered)
    if (used + credit > covered) covered = used + credit
    await allowance.signed(signedBy(account.payment()))
  }

  function signedBy({ payload, key, extensions: added = {} }: Prepared): SignedPayment {
    const { required } = offer
    const sliding = { ...added, [streamKey]: { ...added[streamKey], grade: 'B' } }
    const extensions = required && echoExtensions(required, { id: `pay_${hex(wallet.random(16))}`, added: sliding })
    const { resource, url, method, maxTimeoutSeconds } = chosen.terms
    const payment = {
      x402Version: 2 as const,
      resource,
      accepted: requirements,
      payload: { ...payload },
      ...(extensions && { extensions }),
    }
    return { key, payment, version: 2, url, method, maxTimeoutSeconds }
  }

  async function deliver(signed: SignedPayment): Promise<{ readonly response: Response; readonly receipt: SettleResponse | undefined }> {
    const response = await sendMessage(withPayment(door, signed), { fetch: wallet.fetch, redirect: 'manual' })
    const isRedirect = response.type === 'opaqueredirect' || (response.status >= 300 && response.status < 400)
    if (isRedirect) throw clientErrors('client/paid-redirect-refused', { url: message.url, why: 'a stream opens where it is offered' })
    return { response, receipt: receiptOf(response) }
  }

  /** Opens the route; a server that says where it stands is believed once, as far as the books allow. */
  async function enter(): Promise<Response> {
    for (let tries = 1; ; tries++) {
      const prepared = account.payment()
      const { response, receipt } = await deliver(signedBy(prepared))
      const correction = tries > 1 ? undefined : await correctionIn({ response, receipt }, { requirements, url: message.url })
      if (correction !== undefined && (await account.correct({ ...correction, sends: 1 }, window, given))) {
        await response.body?.cancel()
        await cover()
        continue
      }
      if (response.status < 400) {
        await account.brought(prepared, receipt)
        wallet.breaker.bought(message.url)
        return response
      }
      if (response.status === 402 || response.status >= 500) wallet.breaker.failed(message.url)
      await response.body?.cancel()
      const reason = receipt?.errorReason ?? (await correctionIn({ response, receipt }, { requirements, url: message.url }))?.reason ?? ''
      throw streamingErrors('client/stream-refused', { url: message.url, status: response.status, reason })
    }
  }

  const lane: WalletLane = {
    standing: account.standing,
    async slide(step) {
      const { used, credit } = account.standing()
      const most = used + credit
      const counted = step.used < most ? step : { ...step, used: most }
      const ahead = counted.used + step.window
      const adds = ahead > most && ahead - most >= step.least ? ahead - covered : 0n
      await allowance.add(adds)
      const before = covered
      if (adds > 0n) covered += adds
      const voucher = await account.slide(counted).catch(async (error: unknown) => {
        // What the books wrote down is signed by the next step.
        const { used, credit } = account.standing()
        if (adds > 0n && used + credit <= before) {
          covered = before
          await allowance.undo()
        }
        throw error
      })
      await cover()
      // The server may count a little less in the end.
      await allowance.spend(account.standing().used - step.window)
      return voucher
    },
    room: async () => (await account.room?.()) ?? 0n,
    async renew() {
      const voucher = await account.renew?.(message.signal)
      if (voucher !== undefined) await allowance.signed(signedBy(account.payment()))
      return voucher
    },
    header: () => paymentSignatureHeader.encode(signedBy(account.payment()).payment),
    voucher: () => z.safeParse(streamVoucher, account.payment().payload.voucher).data,
    async topUp(url, least) {
      const prepared = await account.topUp(least, { ...given, now: Math.floor(wallet.now() / 1000) })
      if (prepared === undefined) return false
      const headers = new Headers({ [paymentSignatureHeader.name]: paymentSignatureHeader.encode(signedBy(prepared).payment) })
      const response = await wallet.fetch(url, { method: 'POST', headers })
      await response.body?.cancel()
      const receipt = receiptOf(response)
      await account.brought(prepared, response.ok ? receipt : undefined)
      return response.ok
    },
    async close(used, said) {
      await account.close(used, said)
      await allowance.end(used)
    },
    // Below what was signed before: nothing more is set aside for it.
    final: async (bounds) => await account.final?.(bounds),
  }
  return { lane, cover, enter }
}

async function prepareOptions(
  wallet: Wallet,
  { message, response, offer }: Asked,
  { maxTimeoutSeconds, url }: Terms,
): Promise<PrepareOptions> {
  const now = Math.floor(wallet.now() / 1000) + clockSkew(response, { url, now: wallet.now() })
  const { signal } = message
  return { now, maxTimeoutSeconds, binding: await bindingOf(message), extensions: offer.required?.extensions, signal }
}

// Apart from the client's own, which every buyer loads.
const streamingErrors = defineErrors({
  'client/stream-refused': {
    status: 402,
    phase: 'submit',
    moneyMoved: 'unknown',
    retry: 'resign',
    message: ({ url, status, reason }: { url: string; status: number; reason: string }) =>
      `${url} did not open its stream: it answered ${status} (${reason || 'without a reason'}). What was signed for it is at most one window, and the next payment to it uses that first.`,
  },
})
