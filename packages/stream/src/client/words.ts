import { lesser, paymentStreamHeader, readClosedAnswer, type StreamVoucher, type StreamWallet, writeMessage } from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import type { Till } from './till.ts'

/** Where a lane hears its payer. */
export type Ear = { readonly wallet: StreamWallet; readonly url: string; readonly tickUrl: string; readonly sid: string }

/** What this side itself has counted by now, and what can have come at most. */
export type Counting = { readonly counted: () => bigint; readonly most: () => bigint }

/** What a lane's server answers; `response` is nothing where it cannot be reached. */
export type Answered = { readonly response: Response | undefined; readonly text: string }

/** The lane that an answer opened, by its name. */
export function sidIn({ headers }: Response): string | undefined {
  const text = headers.get(paymentStreamHeader.name)
  return text === null ? undefined : paymentStreamHeader.decode(text).sid
}

/** Says a word about a lane (M6 of streaming.md §6); with `final` where it is closed (§3.4). */
export async function tellLane(
  { wallet, tickUrl, sid }: Omit<Ear, 'url'>,
  op: 'pause' | 'resume' | 'close',
  final?: StreamVoucher,
): Promise<Answered> {
  const headers = { 'Content-Type': 'application/json' }
  const body = writeMessage({ sid, op, ...(final && { final }) })
  // A page that is left can still say so.
  const response = await wallet.send(tickUrl, { method: 'POST', headers, body, keepalive: true }).catch(() => undefined)
  return { response, text: (await response?.text().catch(() => '')) ?? '' }
}

/** Tells a lane one wish after the other, or an earlier one could be heard last; each says whether it is the latest still. */
export function wishesOf(ear: Ear | undefined): (op: 'pause' | 'resume') => Promise<boolean> {
  let [latest, told]: [number, Promise<unknown>] = [0, Promise.resolve()]
  return async (op) => {
    const mine = ++latest
    if (ear !== undefined) told = told.then(() => tellLane(ear, op))
    await told
    return mine === latest
  }
}

/**
 * What a server says that a lane used: no more than was signed for it. What it gave beyond that it gave for credit of its channel that counts
 * as spent here, such as that of a process that died; beyond all that was ever signed it lies. Errors: `stream/overcharged`.
 */
export function believed(
  consumed: bigint | undefined,
  { till, url }: { readonly till: Till | undefined; readonly url: string },
): bigint | undefined {
  const [signed, ceiling] = [till?.signed() ?? 0n, till?.ceiling() ?? 0n]
  if (consumed === undefined) return undefined
  if (consumed > ceiling) throw readerErrors('stream/overcharged', { url, said: consumed, signed: ceiling })
  return lesser(consumed, signed)
}

/** Ends a lane on both sides, and gives what it used: by the server's word as far as it can be, else by this side's own count. */
export async function closeLane(ear: Ear, till: Till, { counted, most }: Counting): Promise<bigint> {
  const own = counted()
  let said: bigint | undefined
  let charged: bigint | undefined
  try {
    const closed = readClosedAnswer((await tellLane(ear, 'close')).text)
    said = believed(closed.consumed, { till, url: ear.url })
    charged = closed.charged
  } finally {
    await till.close(said ?? own, { most: most(), charged })
  }
  return said ?? own
}
