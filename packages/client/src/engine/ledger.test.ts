import type { ClientScheme, Outcome } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, asking, cent, type Seen, type Seller, settled, startSeller } from '../fixtures/seller.ts'
import { createClient } from './client.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

const network = cent.network
const dead: Outcome = { status: 'notSettled', network, reason: 'expired', retry: 'resign' }

/** A seller that answers no payment until it is opened, and clients of one store, each as if after a restart. */
async function meet(more: Partial<ClientScheme> = {}) {
  let isOpen = false
  let now = Date.now()
  let offer = cent
  const seller = await startSeller(({ payment }, response) => {
    if (payment === undefined) return ask(response, asking([offer]), { Date: new Date(now).toUTCString() })
    return isOpen ? answer(response, settled) : response.destroy()
  })
  sellers.push(seller)
  const store = memoryStore()
  const scheme = pen(more)
  const start = (options = {}) =>
    createClient({ schemes: [scheme], store, now: () => now, retry: { attempts: 1 }, budget: { total: '$0.03' }, ...options })
  return {
    seller,
    scheme,
    store,
    start,
    payments: () => new Set(seller.seen.flatMap(({ payment }: Seen) => payment?.payload.nonce ?? [])),
    open(changed: Partial<typeof cent> = {}) {
      isOpen = true
      offer = { ...cent, ...changed }
    },
    pass(seconds: number) {
      now += seconds * 1000
    },
  }
}

const unknown = { code: 'client/settle-unknown' }
const request = { method: 'POST', body: 'a story', callId: 'order-7' }

describe('a call with an id', () => {
  verifies('H2')

  it('sends the payment it signed before a restart, at the price of then, and no other', async () => {
    const { seller, scheme, start, payments, open } = await meet()
    await expect(start().fetch(seller.url, request)).rejects.toMatchObject(unknown)
    await expect(start().fetch(seller.url, request)).rejects.toMatchObject(unknown)
    open({ amount: '900000' })
    const last = start()
    expect(await (await last.fetch(seller.url, request)).text()).toBe('goods')
    expect([scheme.signed.length, payments().size]).toEqual([1, 1])
    expect((await last.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
    const paid = seller.seen.filter(({ payment }) => payment !== undefined)
    expect(new Set(paid.map(({ headers, body }) => `${headers['payment-signature']} ${body}`)).size).toBe(1)
    expect((await start().fetch(seller.url, request)).status).toBe(200)
    expect([scheme.signed.length, (await start().spent()).total.committed]).toEqual([1, '$0.01'])
  })

  it('is one purchase: another body, URL or method is refused', async () => {
    const { seller, scheme, start, open } = await meet()
    open()
    await start().fetch(seller.url, request)
    for (const [url, other] of [
      [seller.url, { ...request, body: 'another' }],
      [`${seller.url}/x`, request],
      [seller.url, { ...request, method: 'PUT' }],
    ] as const) {
      await expect(start().fetch(url, other)).rejects.toMatchObject({ code: 'client/call-reused', moneyMoved: 'no', retry: 'never' })
    }
    expect(scheme.signed.length).toBe(1)
  })

  it('signs anew only after nothing was sent', async () => {
    const { seller, scheme, start, open } = await meet()
    open()
    await expect(start({ beforeSign: () => false }).fetch(seller.url, request)).rejects.toMatchObject({ code: 'client/refused' })
    expect((await start().fetch(seller.url, request)).status).toBe(200)
    expect(scheme.signed.length).toBe(1)
  })

  it('signs once however many make it at once', async () => {
    const { seller, scheme, start, open } = await meet()
    open()
    const results = await Promise.allSettled(Array.from({ length: 20 }, () => start().fetch(seller.url, request)))
    const codes = results.map((result) => (result.status === 'fulfilled' ? result.value.status : result.reason.code))
    expect(codes).toContain(200)
    expect(codes.filter((code) => code !== 200 && code !== 'client/call-under-way')).toEqual([])
    expect(scheme.signed.length).toBe(1)
  })

  it('waits for who is signing, and takes over once that signature would be dead', async () => {
    const { seller, scheme, store, start, open, pass } = await meet()
    open()
    let stuck = () => {}
    const asked = new Promise<void>((resolve) => {
      stuck = resolve
    })
    const beforeSign = () => {
      stuck()
      return new Promise<boolean>(() => {})
    }
    void start({ beforeSign }).fetch(seller.url, request)
    await asked
    await expect(start().fetch(seller.url, request)).rejects.toMatchObject({
      code: 'client/call-under-way',
      moneyMoved: 'no',
      retry: 'same',
    })
    expect((await store.budgets.use('usd:total')).reserved).toBeGreaterThan(0n)
    pass(301)
    expect((await start().fetch(seller.url, request)).status).toBe(200)
    expect(scheme.signed.length).toBe(1)
    expect((await start().spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })

  it('sends nothing where it was taken over while it signed', async () => {
    const { seller, scheme, store, start, open, pass } = await meet()
    open()
    const slow: ClientScheme = {
      ...scheme,
      async prepare(requirements, options) {
        const prepared = await scheme.prepare(requirements, options)
        pass(301)
        expect((await start().fetch(seller.url, request)).status).toBe(200)
        return prepared
      },
    }
    await expect(start({ schemes: [slow] }).fetch(seller.url, request)).rejects.toMatchObject({ code: 'client/call-under-way' })
    expect(seller.seen.filter(({ payment }) => payment !== undefined)).toHaveLength(1)
    expect(await store.budgets.use('usd:total')).toMatchObject({ reserved: 0n })
    expect((await start().spent()).total.committed).toBe('$0.01')
  })
})

describe('what a dead process left behind (M32)', () => {
  verifies('M32')
  const lose = async (met: Awaited<ReturnType<typeof meet>>) => {
    for (let call = 0; call < 3; call++) await expect(met.start().fetch(met.seller.url)).rejects.toMatchObject(unknown)
    met.open()
    await expect(met.start().fetch(met.seller.url)).rejects.toMatchObject({ code: 'client/over-budget' })
  }

  it('counts as spent once it is dead', async () => {
    const met = await meet()
    await lose(met)
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0.03', committed: '$0' })
    met.pass(301)
    await expect(met.start().fetch(met.seller.url)).rejects.toMatchObject({ code: 'client/over-budget' })
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0', committed: '$0.03' })
    expect(met.scheme.signed.length).toBe(3)
  })

  it('comes free where the chain proves that it was never spent, and is spent where the chain saw it', async () => {
    const seen: Outcome[] = [dead, { status: 'settled', network, transaction: '0x1' }, dead]
    const met = await meet({ look: async () => seen.shift() ?? dead })
    await lose(met)
    met.pass(301)
    expect((await met.start().fetch(met.seller.url)).status).toBe(200)
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0', committed: '$0.02' })
  })

  it('stays reserved while the chain does not know, for ten minutes', async () => {
    const met = await meet({ look: async () => ({ status: 'pending', network }) })
    await lose(met)
    met.pass(301)
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0.03', committed: '$0' })
    met.pass(601)
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0', committed: '$0.03' })
  })
})

describe('cancel', () => {
  it('frees the amount on proof alone, also after a restart', async () => {
    const outcomes: Outcome[] = [{ status: 'pending', network }, dead]
    const met = await meet({ cancel: async () => outcomes.shift() ?? dead })
    const error = await met
      .start()
      .fetch(met.seller.url, request)
      .catch((thrown: unknown) => thrown)
    await expect(met.start().cancel(error)).rejects.toMatchObject({ code: 'client/nothing-to-cancel' })
    await expect(met.start().cancel({ callId: 'order-7' })).rejects.toMatchObject({
      code: 'client/cancel-failed',
      moneyMoved: 'unknown',
      retry: 'same',
    })
    expect((await met.start().spent()).total.reserved).toBe('$0.01')
    await met.start().cancel({ callId: 'order-7' })
    expect((await met.start().spent()).total).toMatchObject({ reserved: '$0', committed: '$0' })
    await met.start().cancel({ callId: 'order-7' })
    met.open()
    expect((await met.start().fetch(met.seller.url, request)).status).toBe(200)
    expect(met.scheme.signed.length).toBe(2)
  })

  it('says that a payment was spent first, and takes what fetch threw', async () => {
    const met = await meet({ cancel: async () => ({ status: 'settled', network, transaction: '0x12' }) })
    const client = met.start()
    const error = await client.fetch(met.seller.url).catch((thrown: unknown) => thrown)
    await expect(client.cancel(error)).rejects.toMatchObject({
      code: 'client/already-spent',
      moneyMoved: 'yes',
      retry: 'same',
      context: { transaction: '0x12' },
    })
    expect((await client.spent()).total).toMatchObject({ reserved: '$0', committed: '$0.01' })
  })

  it('is refused without a way to the chain, and for what was never signed', async () => {
    const met = await meet()
    const client = met.start()
    const error = await client.fetch(met.seller.url).catch((thrown: unknown) => thrown)
    await expect(client.cancel(error)).rejects.toMatchObject({ code: 'client/cannot-cancel', moneyMoved: 'unknown' })
    for (const nothing of [undefined, 'x', new Error('x'), { callId: 'order-8' }, { callId: 7 }]) {
      await expect(client.cancel(nothing)).rejects.toMatchObject({ code: 'client/nothing-to-cancel' })
    }
    expect((await client.spent()).total.reserved).toBe('$0.01')
  })
})
