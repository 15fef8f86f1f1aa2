import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import type { Source } from '../server.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const rate = { rate: '0.00001 USD/token', buy: 100, window: 40, windowMax: 40, tick: 20 }

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100))

test.each(['pauses', 'hangs up'] as const)(
  'a payer who %s until his money is out gets nothing that cannot be claimed',
  { timeout: 30_000 },
  async (how) => {
    verifies(['F5', 'M27', 'M29'])
    const clock = { now: 1000 }
    let speak = (): void => {}
    const source: Source = async function* ({ signal }) {
      for (let at = 0; !signal.aborted; at += 1) {
        await new Promise<void>((resolve) => {
          speak = resolve
          signal.addEventListener('abort', () => resolve())
        })
        yield `token ${at}`
      }
    }
    const streams = { monotonic: () => clock.now, lease: 7_200_000, ticksPerSecond: 100 }
    const shop = await ground.open({ rate, source, streams })
    const payer = await shop.newPayer(100n * token)
    let reading = await shop.open(payer.voucher(40n * token), 'B')
    await pause()
    speak()
    await vi.waitFor(() => expect(reading.items).toHaveLength(1))
    const runner = shop.scheme.vouchers?.runner({ facilitator: ground.facilitator })
    if (runner === undefined) throw new RangeError('no runner')
    ground.closing(() => runner.close())
    expect(await payer.withdraw(100n * token)).toBe('done')
    await runner.round({ all: false })
    // He never stays away for as long as lanes are kept, and is never there for long.
    const [away, rounds] = how === 'pauses' ? [590_000, 2] : [55_000, 16]
    const flows: boolean[] = []
    for (let round = 0; round < rounds; round += 1) {
      if (how === 'pauses') await shop.post({ sid: reading.sid, op: 'pause' })
      else {
        reading.stop()
        await pause()
      }
      clock.now += away
      if (how === 'pauses') flows.push((await shop.post({ sid: reading.sid, op: 'resume' })).body.state === 'flowing')
      else {
        reading = await shop.read({ 'Payment-Resume': `${reading.sid}; from=1` })
        flows.push(reading.status === 200)
      }
      await pause()
    }
    // It is over before his money is out, and was claimed by then.
    expect([flows[0], flows.at(-1)]).toEqual([true, false])
    await vi.waitFor(async () => expect((await shop.row(payer)).lanes).toBeUndefined())
    await runner.round({ all: false })
    await ground.chain.increaseTime(901)
    expect(await payer.finish()).toBe('done')
    speak()
    await pause()
    await runner.round({ all: true })
    expect(await shop.row(payer)).toMatchObject({ charged: token, funds: { claimed: token, balance: token } })
  },
)
