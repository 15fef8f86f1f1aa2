import { afterEach, describe, expect, it } from 'vitest'
import { lost, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import type { FacilitatorEvent } from './events.ts'
import { createFacilitator, type FacilitatorOptions, type LocalFacilitator } from './facilitator.ts'

const made: LocalFacilitator[] = []
afterEach(() => Promise.all(made.splice(0).map((facilitator) => facilitator.close({ signal: AbortSignal.abort() }))))

function make(options: Partial<FacilitatorOptions> = {}, chain = smallChain()) {
  const events: FacilitatorEvent[] = []
  const facilitator = createFacilitator({
    schemes: [smallScheme(chain)],
    confirmTimeout: 300,
    finality: 0,
    onEvent: (event) => events.push(event),
    ...options,
  })
  made.push(facilitator)
  const sends = (): string[] => chain.log.filter((line) => line.startsWith('send'))
  return { facilitator, chain, events, sends }
}

describe('what a facilitator is made of', () => {
  it('must have a scheme, no scheme twice on one network, and a signer for each', () => {
    const chain = smallChain()
    expect(() => createFacilitator({ schemes: [] })).toThrow(expect.objectContaining({ code: 'config/no-facilitator-scheme' }))
    expect(() => createFacilitator({ schemes: [smallScheme(chain), smallScheme(smallChain(['two']))] })).toThrow(
      expect.objectContaining({ code: 'config/duplicate-facilitator-scheme' }),
    )
    expect(() => createFacilitator({ schemes: [smallScheme(smallChain([]))] })).toThrow(
      expect.objectContaining({ code: 'config/no-signer' }),
    )
  })

  it('may share a chain among schemes, and never one key between two chain values', () => {
    const chain = smallChain()
    const two = { scheme: 'other', supported: () => ({ x402Version: 2, scheme: 'other', network: 'test:1' }) }
    make({ schemes: [smallScheme(chain), smallScheme(chain, two)] })
    expect(() => createFacilitator({ schemes: [smallScheme(chain), smallScheme(smallChain(), two)] })).toThrow(
      expect.objectContaining({ code: 'config/shared-signer' }),
    )
  })

  it('says what it supports in the order of its configuration, and gives out no part of itself', async () => {
    const schemes = ['b', 'a'].map((scheme, index) =>
      smallScheme(smallChain([`signer-${index}`, 'signer-0']), {
        scheme,
        network: `test:${index}`,
        supported: () => ({ x402Version: 2, scheme, network: `test:${index}` }),
      }),
    )
    const { facilitator } = make({ schemes })
    const first = await facilitator.supported()
    const text = JSON.stringify(first)
    expect(text).toMatchInlineSnapshot(
      `"{"kinds":[{"x402Version":2,"scheme":"b","network":"test:0"},{"x402Version":2,"scheme":"a","network":"test:1"}],"extensions":["flow402x-claim-status"],"signers":{"test:*":["signer-0","signer-1"]}}"`,
    )
    first.kinds.pop()
    expect(JSON.stringify(await facilitator.supported())).toBe(text)
  })
})

describe('starting', () => {
  it('happens once, at the first payment at the latest', async () => {
    let starts = 0
    const chain = smallChain()
    const { facilitator } = make({
      schemes: [
        smallScheme(chain, {
          async start() {
            starts += 1
          },
        }),
      ],
    })
    await Promise.all([facilitator.verify(smallPayment('a')), facilitator.start(), facilitator.start()])
    expect(starts).toBe(1)
  })

  it('fails closed, says why to the operator, and is tried again after a second', async () => {
    let now = 0
    let starts = 0
    const chain = smallChain()
    const { facilitator, events, sends } = make({
      clock: () => now,
      schemes: [
        smallScheme(chain, {
          async start() {
            starts += 1
            if (starts < 3) throw lost()
          },
        }),
      ],
    })
    await expect(facilitator.start()).rejects.toMatchObject({ code: 'small/lost' })
    for (const call of [facilitator.verify(smallPayment('a')), facilitator.settle(smallPayment('a'))]) {
      await expect(call).rejects.toMatchObject({ code: 'facilitator/not-ready', status: 503, moneyMoved: 'no', retry: 'same' })
    }
    expect({ starts, sends: sends() }).toEqual({ starts: 1, sends: [] })
    now = 1000
    await expect(facilitator.verify(smallPayment('a'))).rejects.toMatchObject({ code: 'facilitator/not-ready' })
    now = 2000
    expect(await facilitator.verify(smallPayment('a'))).toEqual({ valid: true, payer: 'payer' })
    expect(events.map(({ type }) => type)).toEqual(['startFailed', 'startFailed', 'started'])
  })

  it('of one network does not depend on another', async () => {
    const broken = smallScheme(smallChain(['two']), { network: 'test:2', start: () => Promise.reject(lost()) })
    const { facilitator } = make({ schemes: [broken, smallScheme(smallChain())] })
    await expect(facilitator.start()).rejects.toThrow()
    expect(await facilitator.settle(smallPayment('a'))).toMatchObject({ status: 'settled' })
  })
})

describe('settling', () => {
  it('ends not settled when the chain could not be asked for a nonce, and settles the same payment when it can', async () => {
    const { facilitator, chain, sends } = make()
    chain.onNonce = () => {
      throw lost()
    }
    const unsent = { status: 'notSettled', network: 'test:1', reason: 'settlement_not_sent', payer: 'payer', retry: 'same', deadAfter: 2e9 }
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'one' })).toEqual(unsent)
    expect(sends()).toEqual([])
    chain.onNonce = () => {}
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'two' })).toMatchObject({ status: 'settled' })
  })

  it('sends nothing for an asker who left before it was sent, and goes on for one who left after', async () => {
    const { facilitator, chain, sends } = make()
    const early = new AbortController()
    chain.onNonce = () => early.abort()
    chain.onSend = () => new Promise((resolve) => setTimeout(resolve, 30))
    const first = facilitator.settle(smallPayment('a'), { signal: early.signal })
    const second = facilitator.settle(smallPayment('b'), { signal: early.signal })
    const outcomes = (await Promise.all([first, second])).toSorted((a, b) => (a.status < b.status ? 1 : -1))
    expect(outcomes).toMatchObject([{ status: 'settled' }, { status: 'notSettled', reason: 'settlement_cancelled', retry: 'same' }])
    expect(sends()).toEqual(['send tx1'])
  })

  it('is pending when what the chain says cannot be read as an end', async () => {
    const chain = smallChain()
    const { facilitator, events } = make({
      schemes: [
        smallScheme(chain, {
          outcome() {
            throw lost()
          },
        }),
      ],
    })
    expect(await facilitator.settle(smallPayment('a'))).toEqual({
      status: 'pending',
      network: 'test:1',
      transaction: 'tx1',
      payer: 'payer',
    })
    expect(events.map(({ type }) => type)).toContain('outcomeFailed')
  })

  it('lets no garbage that names a payment stand in its way (DESIGN §4)', async () => {
    const chain = smallChain()
    const scheme = smallScheme(chain)
    const slow = smallScheme(chain, {
      async verify(submission) {
        await new Promise((resolve) => setTimeout(resolve, submission.payment.payload.good === true ? 0 : 50))
        return scheme.verify(submission)
      },
    })
    const { facilitator } = make({ schemes: [slow] })
    const garbage = facilitator.settle(smallPayment('a', false), { claimId: 'thief' })
    expect(await facilitator.settle(smallPayment('a'), { claimId: 'owner' })).toMatchObject({ status: 'settled' })
    expect(await garbage).toMatchObject({ status: 'notSettled', reason: 'duplicate_settlement' })
  })

  it('settles a payment without an identity each time its scheme says it is valid', async () => {
    const { facilitator, sends } = make()
    await facilitator.settle(smallPayment(undefined))
    await facilitator.settle(smallPayment(undefined))
    expect(sends()).toEqual(['send tx1', 'send tx2'])
  })

  it('forgets an ended payment when it is dead everywhere, and a pending one never', async () => {
    let now = 1_000_000_000_000
    const { facilitator, chain, sends } = make({ clock: () => now })
    const settle = (id: string) => facilitator.settle(smallPayment(id), { claimId: `for ${id}` })
    await settle('ended')
    chain.mining = false
    expect(await settle('pending')).toMatchObject({ status: 'pending' })
    // Within the margin for skewed clocks an ended payment is known; after it the scheme decides again.
    now = 2_000_000_500_000
    await settle('within the margin')
    expect(await settle('ended')).toMatchObject({ status: 'settled', transaction: 'tx1' })
    now = 2_000_001_000_000
    await settle('after it')
    await settle('ended')
    expect(await settle('pending')).toMatchObject({ status: 'notSettled', reason: 'settlement_expired', transaction: 'tx2' })
    chain.mining = true
    expect(await settle('pending')).toMatchObject({ status: 'settled', transaction: 'tx2' })
    expect(sends()).toEqual(['send tx1', 'send tx2', 'send tx3', 'send tx4', 'send tx5'])
  })

  it('ends a payment that was never mined when its signature is dead, and not while the chain is silent', async () => {
    let now = 1_000_000_000_000
    const { facilitator, chain } = make({ clock: () => now })
    const settle = () => facilitator.settle(smallPayment('a'), { claimId: 'one' })
    chain.mining = false
    const pending = { status: 'pending', network: 'test:1', transaction: 'tx1', payer: 'payer' }
    expect(await settle()).toEqual(pending)
    now = 2_000_000_500_000
    expect(await settle()).toEqual(pending)
    now = 2_000_001_000_000
    chain.onStatus = () => {
      throw lost()
    }
    expect(await settle()).toEqual(pending)
    chain.onStatus = () => {}
    const ended = await settle()
    expect(ended).toMatchObject({ status: 'notSettled', reason: 'settlement_expired', retry: 'never', transaction: 'tx1', deadAfter: 2e9 })
    expect(await settle()).toEqual(ended)
  })

  it('tells its observer everything, and is not disturbed by one that throws', async () => {
    const { facilitator, events } = make()
    const outcome = await facilitator.settle(smallPayment('a'))
    expect(events).toEqual([
      { type: 'started', scheme: 'small', network: 'test:1' },
      { type: 'sent', network: 'test:1', signer: 'one', nonce: 0n, transaction: 'tx1' },
      { type: 'outcome', payment: 'a', outcome },
    ])
    const { facilitator: watched } = make({
      onEvent: () => {
        throw lost()
      },
    })
    expect(await watched.settle(smallPayment('a'))).toEqual(outcome)
  })
})

describe('one watcher for a chain', () => {
  it('asks for all waiting transactions in rounds, and slows down while nothing is mined', async () => {
    const { facilitator, chain } = make({ confirmTimeout: 900 })
    chain.mining = false
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, index) => facilitator.settle(smallPayment(`${index}`))))
    expect(new Set(outcomes.map(({ status }) => status))).toEqual(new Set(['pending']))
    const asked = chain.log.filter((line) => line === 'status tx1').length
    // 0, 50, 125, 238, 406, 660 ms after the first: twenty pollers of their own would ask in as many rounds each, but at fixed steps.
    expect(asked).toBeGreaterThan(2)
    expect(asked).toBeLessThan(9)
  })

  it('survives an RPC that fails for a while', async () => {
    const { facilitator, chain, events } = make({ confirmTimeout: 2000 })
    let reads = 0
    chain.onStatus = () => {
      reads += 1
      if (reads < 4) throw lost()
    }
    expect(await facilitator.settle(smallPayment('a'))).toMatchObject({ status: 'settled' })
    expect(events.filter(({ type }) => type === 'readFailed')).toHaveLength(3)
  })
})

describe('closing', () => {
  it('waits for what is under way and takes nothing new', async () => {
    const { facilitator, chain } = make({ confirmTimeout: 5000 })
    chain.mining = false
    const settling = facilitator.settle(smallPayment('a'))
    await expect.poll(() => chain.taken.size).toBe(1)
    const closing = facilitator.close()
    await expect(facilitator.settle(smallPayment('b'))).rejects.toMatchObject({ code: 'facilitator/closed', moneyMoved: 'no' })
    await expect(facilitator.verify(smallPayment('b'))).rejects.toMatchObject({ code: 'facilitator/closed' })
    chain.mining = true
    expect(await settling).toMatchObject({ status: 'settled' })
    await closing
  })

  it('answers pending at once when it may not wait', async () => {
    const { facilitator, chain } = make({ confirmTimeout: 60_000 })
    chain.mining = false
    const settling = facilitator.settle(smallPayment('a'))
    await expect.poll(() => chain.taken.size).toBe(1)
    await facilitator.close({ signal: AbortSignal.timeout(20) })
    expect(await settling).toMatchObject({ status: 'pending', transaction: 'tx1' })
  })
})
