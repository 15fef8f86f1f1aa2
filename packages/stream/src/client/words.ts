import { readClosedAnswer, type StreamWallet, writeMessage } from '@flow402x/core/stream'
import { readerErrors } from './errors.ts'
import type { Till } from './till.ts'

/** Where a lane hears its payer. */
export type Ear = { readonly wallet: StreamWallet; readonly url: string; readonly tickUrl: string; readonly sid: string }

/** Says a word about a lane (M6 of streaming.md §6), and gives the answer's text; nothing where it cannot be said. */
export async function tellLane({ wallet, tickUrl, sid }: Ear, op: 'pause' | 'resume' | 'close'): Promise<string> {
  const headers = { 'Content-Type': 'application/json' }
  // A page that is left can still say so.
  const sent = wallet.send(tickUrl, { method: 'POST', headers, body: writeMessage({ sid, op }), keepalive: true })
  return await sent.then((response) => response.text()).catch(() => '')
}

/** What a server says that a lane used, which cannot be more than was signed. Errors: `stream/overcharged`. */
export function believed(
  consumed: bigint | undefined,
  { till, url }: { readonly till: Till | undefined; readonly url: string },
): bigint | undefined {
  const signed = till?.signed() ?? 0n
  if (consumed !== undefined && consumed > signed) throw readerErrors('stream/overcharged', { url, said: consumed, signed })
  return consumed
}

/** Ends a lane on both sides, and gives what it used: by the server's word as far as it can be, else by this side's own count. */
export async function closeLane(ear: Ear, till: Till, counted: () => bigint): Promise<bigint> {
  let said: bigint | undefined
  try {
    said = believed(readClosedAnswer(await tellLane(ear, 'close')), { till, url: ear.url })
  } finally {
    await till.close(said ?? counted())
  }
  return said ?? counted()
}
