import { type Changed, type Channel, nextBase, type PaymentKey } from '@flow402x/core'
import { buyWindow, type LaneResult, type LaneStep } from '@flow402x/core/stream'
import * as z from 'zod/mini'

const amount = z.pipe(
  z.string(),
  z.transform((text) => BigInt(text)),
)

/** A payment that has come in, and whether its window was sold. */
const arrival = z.object({ key: z.string(), amount, deadAfter: z.number(), sold: z.boolean() })

const windowsRow = z.object({ windowsOf: z.string(), arrivals: z.array(arrival) })

type Arrival = z.infer<typeof arrival>

// A payment that has been dead for so long (seconds) is remembered by the chain and by its claim alone.
const rememberedFor = 86_400

/** A new row of a payer's windows: nothing has come in. */
export function windowsFor({
  id,
  network,
  payer,
}: {
  readonly id: string
  readonly network: string
  readonly payer: string
}): Omit<Channel, 'side' | 'epoch'> {
  const funds = { balance: 0n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: 0 }
  const config = writeRow({ payer, arrivals: [] })
  return { id, network, config, funds, refunding: 0n, charged: 0n, top: 0n, held: [], free: [] }
}

/** Whose windows a row counts; nothing for another scheme's. */
export function payerIn(channel: Channel): string | undefined {
  return z.safeParse(windowsRow, channel.config).data?.windowsOf
}

/** Writes down that a payment has come in; once, however often it is told. */
export function arrived(channel: Channel, { key, amount: paid, now }: { key: PaymentKey; amount: bigint; now: number }): Changed<void> {
  const row = z.safeParse(windowsRow, channel.config).data
  if (row === undefined || row.arrivals.some((one) => one.key === key.id)) return { channel, result: undefined }
  const kept = row.arrivals.filter(({ deadAfter, sold }) => !sold || deadAfter + rememberedFor > now / 1000)
  const arrivals = [...kept, { key: key.id, amount: paid, deadAfter: key.deadAfter, sold: false }]
  const funds = { ...channel.funds, balance: channel.funds.balance + paid }
  return { channel: { ...channel, funds, config: writeRow({ payer: row.windowsOf, arrivals }) }, result: undefined }
}

/** Sells the window of a payment that has come in: once. */
export function sellWindow(
  channel: Channel,
  step: LaneStep & { readonly key: string; readonly amount: bigint; readonly opens: boolean },
): Changed<LaneResult> {
  const row = z.safeParse(windowsRow, channel.config).data
  const found = row?.arrivals.find(({ key, sold, amount: paid }) => key === step.key && !sold && paid === step.amount)
  if (row === undefined || found === undefined) return { channel, result: 'sold' }
  const max = nextBase(channel, step.amount) + step.amount
  const { channel: next, result } = buyWindow(channel, { ...step, max, signature: '' })
  if (typeof result === 'string') return { channel, result }
  const arrivals = row.arrivals.map((one) => (one === found ? { ...one, sold: true } : one))
  // The money is its receiver's already: nothing of it is owed.
  const funds = { ...next.funds, claimed: next.top }
  return { channel: { ...next, funds, config: writeRow({ payer: row.windowsOf, arrivals }) }, result }
}

function writeRow({ payer, arrivals }: { readonly payer: string; readonly arrivals: readonly Arrival[] }) {
  return { windowsOf: payer, arrivals: arrivals.map((one) => ({ ...one, amount: `${one.amount}` })) }
}
