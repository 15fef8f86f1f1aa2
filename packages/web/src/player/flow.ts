import type { Asset } from '@flow402x/core'
import { type Units, unitsFor } from '@flow402x/core/stream'
import { type PaidStream, payStream } from '@flow402x/stream/client'
import { priceOf } from './money.ts'
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
  resume(): Promise<void>
  /** Lets it cost so much more (atomic), and goes on where it stood still for want of it. */
  topUp(amount: bigint): Promise<void>
  finish(): Promise<void>
  /** How it ended, once it has. */
  readonly ended: Promise<Ended>
}

/** What a stream is opened with. `sink`: where an earlier one left off. */
export type FlowOptions = {
  readonly purse: Purse
  readonly url: string
  readonly asset: Asset
  readonly screen: Screen
  readonly budget: bigint
  readonly sink?: Sink | undefined
  readonly onChange: () => void
}

/** Opens a stream and shows it while it is paid. Errors: those of `payStream`. */
export async function openFlow({ purse, url, asset, screen, sink: before, onChange, ...given }: FlowOptions): Promise<Flow & { readonly sink: Sink }> {
  const from = before?.position()
  const init = from === undefined || from === 0n ? {} : { headers: { Range: `bytes=${from}-` } }
  let { budget } = given
  const stream = await payStream({ wallet: purse.wallet, url, init, budget: priceOf(budget, asset) })
  const sink = from !== undefined && before !== undefined ? before : createSink(stream.response.headers.get('Content-Type') ?? '', screen)
  let state: Standing['state'] = 'flowing'

  const become = (next: Standing['state']): void => {
    state = next
    onChange()
  }

  async function halt(next: 'paused' | 'spent'): Promise<void> {
    if (state !== 'flowing') return
    become(next)
    sink.hold(true)
    await stream.pause()
  }

  async function resume(): Promise<void> {
    if (state === 'flowing' || state === 'over') return
    become('flowing')
    sink.hold(false)
    await stream.resume()
  }

  async function run(): Promise<Ended> {
    try {
      for await (const chunk of stream) {
        await sink.write(chunk)
        // What is signed lies ahead of what came: there is time to ask for more before anything stops by itself.
        if (stream.standing().signed >= budget) await halt('spent')
      }
      const { reason } = await stream.receipt
      return { isWhole: reason !== 'closed' && isComplete(stream, sink) }
    } catch (trouble) {
      return { isWhole: false, trouble }
    }
  }

  const ended = run().then((end) => {
    sink.end(end.isWhole)
    become('over')
    return end
  })
  return {
    sink,
    ended,
    standing: () => standingOf(stream, { state, budget }),
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

function standingOf(stream: PaidStream, known: Pick<Standing, 'state' | 'budget'>): Standing {
  const { consumed: paid, signed } = stream.standing()
  const { terms } = stream
  return { ...known, paid, signed, units: terms === undefined ? 0n : unitsFor(terms.rate, paid) }
}

/** Whether all came that there is: by the length that its server said, where it said one. */
function isComplete({ response }: PaidStream, sink: Sink): boolean {
  const size = /\/(\d+)$/.exec(response.headers.get('Content-Range') ?? '')?.[1] ?? response.headers.get('Content-Length')
  const position = sink.position()
  return position === undefined || size === null || BigInt(size) === position
}
