import type { SignedTransaction } from '@flow402x/core'
import { describe, expect, it } from 'vitest'
import { lost, refused, type SmallChain, smallChain } from '../fixtures/small-chain.ts'
import type { FacilitatorEvent } from './events.ts'
import { createLanes, type Delivery, type Job } from './lanes.ts'

function setUp(signers?: readonly string[]) {
  const chain: SmallChain = smallChain(signers)
  const events: FacilitatorEvent[] = []
  const lanes = createLanes(chain, { onEvent: (event) => events.push(event) })
  const job = (change: Partial<Job> = {}): Job => ({ plan: () => [], cancelled: () => false, keep: () => {}, ...change })
  const send = (change?: Partial<Job>): Promise<Delivery> => lanes.use((lane) => lane.send(job(change)))
  return { chain, events, lanes, send, job }
}

describe('a lane', () => {
  it('asks the chain for its nonce once and counts from there', async () => {
    const { chain, send } = setUp()
    const deliveries = await Promise.all([send(), send(), send()])
    expect(deliveries.map((delivery) => delivery.sent)).toEqual(['yes', 'yes', 'yes'])
    expect(chain.log).toEqual(['nonce', 'sign tx1 0', 'send tx1', 'sign tx2 1', 'send tx2', 'sign tx3 2', 'send tx3'])
  })

  it('keeps the signed bytes before it sends them', async () => {
    const { chain, send } = setUp()
    const keep = async ({ transaction }: SignedTransaction): Promise<void> => {
      await Promise.resolve()
      chain.log.push(`keep ${transaction}`)
    }
    await send({ keep })
    expect(chain.log).toEqual(['nonce', 'sign tx1 0', 'keep tx1', 'send tx1'])
  })

  it('sends nothing that could not be kept', async () => {
    const { chain, send } = setUp()
    const keep = (): Promise<void> => Promise.reject(lost())
    expect(await send({ keep })).toEqual({ sent: 'no', retry: 'same', cancelled: false })
    expect(await send()).toMatchObject({ sent: 'yes', signed: { nonce: 0n } })
    expect(chain.log.filter((line) => line.startsWith('send'))).toEqual(['send tx2'])
  })

  it('takes no nonce for a job that was given up, that has no plan, or that cannot be signed', async () => {
    const { chain, send } = setUp()
    chain.onSign = () => {
      throw refused()
    }
    const broken = await Promise.all([
      send({ cancelled: () => true }),
      send({
        plan: () => {
          throw lost()
        },
      }),
      send(),
    ])
    expect(broken).toEqual([
      { sent: 'no', retry: 'same', cancelled: true },
      { sent: 'no', retry: 'same', cancelled: false },
      { sent: 'no', retry: 'same', cancelled: false },
    ])
    chain.onSign = () => {}
    expect(await send()).toMatchObject({ sent: 'yes', signed: { nonce: 0n } })
  })

  it('sends the same bytes again after a lost answer, whether or not they had arrived', async () => {
    for (const arrives of [true, false]) {
      const { chain, send } = setUp()
      chain.mining = false
      let sends = 0
      chain.onSend = (_, arrived) => {
        sends += 1
        if (sends > 1) return
        if (arrives) arrived()
        throw lost()
      }
      const [first, second] = await Promise.all([send(), send()])
      expect([first, second]).toMatchObject([
        { sent: 'yes', signed: { transaction: 'tx1', nonce: 0n } },
        { sent: 'yes', signed: { transaction: 'tx2', nonce: 1n } },
      ])
      expect(chain.log.filter((line) => line.startsWith('send'))).toEqual(['send tx1', 'send tx1', 'send tx2'])
    }
  })

  it('asks the chain after a lost answer, and does not send again what is mined', async () => {
    const { chain, send } = setUp()
    chain.onSend = (_, arrived) => {
      arrived()
      throw lost()
    }
    expect(await send()).toMatchObject({ sent: 'yes' })
    expect(chain.log).toEqual(['nonce', 'sign tx1 0', 'send tx1', 'status tx1'])
  })

  it('believes a refusal only when it is repeated, nothing was in doubt and the chain has not mined it', async () => {
    const { chain, send, events } = setUp()
    chain.onSend = () => {
      throw refused()
    }
    expect(await send()).toEqual({ sent: 'no', retry: 'same', cancelled: false })
    expect(events.map(({ type }) => type)).toEqual(['sendFailed', 'sendFailed'])

    let sends = 0
    chain.onSend = () => {
      sends += 1
      throw sends === 1 ? lost() : refused()
    }
    expect(await send()).toMatchObject({ sent: 'perhaps' })

    chain.onStatus = () => {
      throw lost()
    }
    chain.onSend = () => {
      throw refused()
    }
    expect(await send()).toMatchObject({ sent: 'perhaps' })

    chain.onStatus = () => {}
    chain.onSend = () => {}
    expect(await send()).toMatchObject({ sent: 'yes', signed: { nonce: 0n } })
  }, 20_000)

  it('signs again with a fresh nonce when its own was used elsewhere', async () => {
    const { chain, send } = setUp()
    await send()
    const foreign = { transaction: 'foreign', bytes: '', signer: 'one', nonce: 1n }
    chain.taken.set('one 1', foreign)
    expect(await send()).toMatchObject({ sent: 'yes', signed: { nonce: 2n } })
    expect(chain.taken.get('one 1')).toBe(foreign)
  })

  it('gives the next job to the least loaded signer', async () => {
    const { lanes, job } = setUp(['one', 'two'])
    const used: string[] = []
    let release = (): void => {}
    const hold = new Promise<void>((resolve) => {
      release = resolve
    })
    const work = (until: Promise<void>): Promise<void> =>
      lanes.use(async (lane) => {
        const delivery = await lane.send(job())
        if (delivery.sent === 'yes') used.push(delivery.signed.signer)
        await until
      })
    const first = work(hold)
    await work(Promise.resolve())
    await work(Promise.resolve())
    release()
    await first
    expect(used.sort()).toEqual(['one', 'two', 'two'])
  })
})
