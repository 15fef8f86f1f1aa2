import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { createClient } from '../engine/client.ts'
import type { ClientOptions } from '../engine/options.ts'
import { pen } from '../fixtures/pen.ts'
import { answer, ask, type Seller, settled, startSeller } from '../fixtures/seller.ts'

const sellers: Seller[] = []
afterEach(() => Promise.all(sellers.splice(0).map((seller) => seller.close())))

/** A seller that answers every payment with this status, and a client that can be told the time. */
async function meet(options: Partial<ClientOptions> = {}) {
  const state = { status: 402, now: Date.now() }
  const seller = await startSeller(({ payment }, response) => {
    if (payment === undefined || state.status === 402) return ask(response)
    if (state.status === 200) return answer(response, settled)
    response.writeHead(state.status).end()
  })
  sellers.push(seller)
  const scheme = pen()
  const client = createClient({ schemes: [scheme], now: () => state.now, retry: { attempts: 1 }, ...options })
  const buy = () =>
    client.fetch(seller.url).then(
      ({ status }) => status,
      ({ code }) => String(code),
    )
  return { state, scheme, client, buy, seller }
}

describe('an origin whose payments buy nothing', () => {
  verifies('A30')

  it.each([402, 500])('with %i again and again gets five signatures, then one a minute', async (status) => {
    const { state, scheme, client, buy, seller } = await meet()
    state.status = status
    for (let count = 0; count < 5; count += 1) expect([status, 'client/outcome-unknown']).toContain(await buy())
    expect([await buy(), scheme.signed.length]).toEqual(['client/origin-suspended', 5])
    await expect(client.fetch(seller.url)).rejects.toMatchObject({ moneyMoved: 'no', retry: 'resign', context: { failures: 5 } })
    expect((await client.spent()).total.reserved).toBe('$0.05')
    state.now += 61_000
    await buy()
    expect([await buy(), scheme.signed.length]).toEqual(['client/origin-suspended', 6])
    state.now += 61_000
    state.status = 200
    expect([await buy(), await buy(), scheme.signed.length]).toEqual([200, 200, 8])
  })

  it('is paid on where what was asked for does not exist', async () => {
    const { state, scheme, buy } = await meet({ breaker: { failures: 1 } })
    state.status = 404
    for (let count = 0; count < 3; count += 1) expect(await buy()).toBe(404)
    expect(scheme.signed).toHaveLength(3)
  })

  it('harms no other origin', async () => {
    const bad = await meet({ breaker: { failures: 1 } })
    await bad.buy()
    const good = await startSeller(({ payment }, response) => (payment === undefined ? ask(response) : answer(response, settled)))
    sellers.push(good)
    expect([await bad.buy(), (await bad.client.fetch(good.url)).status]).toEqual(['client/origin-suspended', 200])
  })
})
