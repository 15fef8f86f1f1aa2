import { greater } from '@flow402x/core/stream'
import * as z from 'zod/mini'

/** An amount as rows keep it. */
export const storedAmount = z.pipe(
  z.string(),
  z.transform((text) => BigInt(text)),
)

/** A voucher as rows keep it. */
export const storedVoucher = z.object({ max: storedAmount, signature: z.string() })

/** A voucher that is kept to be settled: everything up to `max` (atomic) over a channel's life, and its signature as books have it. */
export type RingVoucher = Readonly<z.infer<typeof storedVoucher>>

/** A voucher for a row. */
export function writeVoucher<More>({ max, ...more }: { readonly max: bigint } & More): { readonly max: string } & Omit<More, 'max'> {
  return { ...more, max: `${max}` }
}

/** Vouchers of one channel, lowest first. A chain that pays a voucher exactly is shown one of them (FS/1 §1.4). */
export type Ring = readonly RingVoucher[]

// So many are kept.
const ringSize = 8

/**
 * A ring with one more voucher, in the place of one for as much. Of those that are `consumed` to their end only the highest can be worth
 * anything; of those ahead the nearest stay, and the highest: a payer who signs many cannot push out the one that will be settled.
 */
export function withRingVoucher(ring: Ring, voucher: RingVoucher, consumed: bigint): Ring {
  const all = [...ring.filter(({ max }) => max !== voucher.max), voucher].toSorted((a, b) => (a.max < b.max ? -1 : 1))
  const [reached, ahead] = [all.filter(({ max }) => max <= consumed), all.filter(({ max }) => max > consumed)]
  const near = ringSize - 2
  return [...reached.slice(-1), ...ahead.slice(0, near), ...ahead.slice(near).slice(-1)]
}

/** What can be settled: the highest voucher that is consumed to its end and brings more than was settled; nothing where none does. */
export function settleable<Voucher extends RingVoucher>(
  ring: readonly Voucher[],
  { consumed, settled }: { readonly consumed: bigint; readonly settled: bigint },
): Voucher | undefined {
  return ring.findLast(({ max }) => max <= consumed && max > settled)
}

/**
 * How far may be delivered so that, wherever its payer vanishes, at most `most` lies above what can be settled then: who signs for much at
 * once is asked for a voucher in between.
 */
export function reachOf(ring: Ring, { settled, most }: { readonly settled: bigint; readonly most: bigint }): bigint {
  let reach = settled + most
  for (const { max } of ring) if (max <= reach) reach = greater(reach, max + most)
  return reach
}
