import type { Asset } from '@flow402x/core'
import { costOf, greater, lesser, oneUnit, type Units, unitsFor } from '@flow402x/core/stream'
import { type PaidStream, payStream, type StreamReceipt } from '@flow402x/stream/client'
import { priceOf } from '../screen/money.ts'
import type { Purse } from './purse.ts'
import type { Screen } from './screen.ts'
import { createSink, type Sink } from './sink.ts'

/** Where a stream stands; amounts are atomic. `spent`: it stands still, because all of its budget is signed. */
export type Standing = {
  readonly state: 'flowing' | 'paused' | 'spent' | 'over'
  readonly paid: bigint
  readonly signed: bigint
  readonly units: Units
  readonly budget: bigint
}

/** How a stream ended: whether all of it came, and what went wrong, if anything. */
export type Ended = { readonly isWhole: boolean; readonly trouble?: unknown }

/** One stream as it is paid, from its first payment to its end. */
export interface Flow {
  standing(): Standing
  /** Stops paying, and with it the stream. */
  pause(): Promise<void>
  /** Goes on; where all of the budget is signed, with what is left of that, to its end. */
  resume(): Promise<void>
  /** Lets it cost so much more (atomic), and goes on where it stood still for want of it. */
  topUp(amount: bigint): Promise<void>
  finish(): Promise<void>
  /** How it ended, once it has. */
  readonly ended: Promise<Ended>
}

/** What a stream is opened with. */
export type FlowOptions = {
  readonly purse: Purse
  readonly url: string
  readonly asset: Asset
  readonly screen: Screen
  readonly budget: bigint
  readonly onChange: () => void
}

/** Opens a stream and shows it while it is paid. Errors: those of `payStream`. */
export async function openFlow({ purse, url, asset, screen, onChange, ...given }: FlowOptions): Promise<Flow> {
  let { budget } = given
  const stream = await payStream({ wallet: purse.wallet, url, budget: priceOf(budget, asset) })
  const sink = createSink(stream.response.headers.get('Content-Type') ?? '', screen)
  let [state, chunks]: [Standing['state'], bigint] = ['flowing', 0n]
  let receipt: StreamReceipt | undefined
  let takesRest = false

  const become = (next: Standing['state']): void => {
    state = next
    onChange()
  }

  async function halt(next: 'paused' | 'spent'): Promise<void> {
    if (state !== 'flowing') return
    become(next)
    // What is paid already is shown to its end all the same.
    if (next === 'paused') sink.hold(true)
    await stream.pause()
  }

  async function resume(): Promise<void> {
    if (state === 'flowing' || state === 'over') return
    takesRest = state === 'spent' && stream.standing().signed >= budget
    become('flowing')
    sink.hold(false)
    await stream.resume()
  }

  async function run(): Promise<Ended> {
    try {
      for await (const chunk of stream) {
        chunks += chunk instanceof Uint8Array ? 0n : 1n
        await sink.write(chunk)
        // What is signed lies ahead of what came: there is time to ask for more before anything stops by itself.
        if (!takesRest && stream.standing().signed >= budget) await halt('spent')
      }
      const { reason } = await stream.receipt
      return { isWhole: reason !== 'closed' && isComplete(stream, sink) }
    } catch (trouble) {
      return { isWhole: false, trouble }
    }
  }

  const ended = run().then(async (end) => {
    receipt = await stream.receipt
    sink.end(end.isWhole)
    become('over')
    return end
  })
  return {
    ended,
    standing: () => ({ state, budget, ...standingOf(stream, { chunks, receipt }) }),
    pause: () => halt('paused'),
    resume,
    async topUp(amount) {
      budget += amount
      stream.allow(priceOf(budget, asset))
      if (state === 'spent') await resume()
      onChange()
    },
    async finish() {
      await stream.close()
    },
  }
}

/** What came and what it cost: by the receipt, once there is one; till then by this side's count, and where nobody can count by pieces. */
function standingOf(
  stream: PaidStream,
  { chunks, receipt }: { readonly chunks: bigint; readonly receipt: StreamReceipt | undefined },
): Pick<Standing, 'paid' | 'signed' | 'units'> {
  const { terms } = stream
  const { consumed, signed } = receipt ?? stream.standing()
  if (terms === undefined) return { paid: consumed, signed, units: 0n }
  const { rate, unit } = terms
  const pieces = receipt === undefined && unit !== 'second' ? lesser(costOf(rate, chunks * oneUnit), signed) : 0n
  const paid = greater(consumed, pieces)
  return { paid, signed, units: unitsFor(rate, paid) }
}

/** Whether all came that there is: by the length that its server said, where it said one. */
function isComplete({ response }: PaidStream, sink: Sink): boolean {
  const size = response.headers.get('Content-Length')
  const came = sink.received()
  return came === undefined || size === null || BigInt(size) === came
}
