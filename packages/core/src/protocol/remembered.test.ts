import { describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { paymentRequirements } from './payment.ts'
import { remembered } from './remembered.ts'

const offer = {
  scheme: 'exact',
  network: 'eip155:84532',
  amount: '1000',
  asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
  maxTimeoutSeconds: 60,
  extra: { name: 'USDC', version: '2' },
}

/** Reads JSON text through a schema that knows so many, and counts how often it judges anew. */
function reader(most = 4) {
  let judged = 0
  const counted = paymentRequirements.check(
    z.refine(() => {
      judged += 1
      return true
    }),
  )
  const schema = z.looseObject({ accepted: remembered(counted, { members: ['network', 'amount'], most }) })
  const read = (accepted: unknown) =>
    z.safeParse(schema, JSON.parse(typeof accepted === 'string' ? accepted : JSON.stringify({ accepted })))
  return { read, value: (accepted: unknown) => read(accepted).data?.accepted, judged: () => judged }
}

describe('what is read again', () => {
  it('is the same value, judged once and frozen', () => {
    const { value, judged } = reader()
    const first = value(offer)
    expect(first).toEqual(offer)
    expect(value({ ...offer })).toBe(first)
    expect(value(Object.fromEntries(Object.entries(offer).toReversed()))).toBe(first)
    expect(judged()).toBe(1)
    expect([Object.isFrozen(first), Object.isFrozen(first?.extra)]).toEqual([true, true])
  })

  it.each([
    ['another scheme', { ...offer, scheme: 'upto' }],
    ['another payee', { ...offer, payTo: offer.asset }],
    ['a member more', { ...offer, more: 1 }],
    ['a member less', { ...offer, extra: undefined }],
    ['a member deep within', { ...offer, extra: { ...offer.extra, version: '3' } }],
    ['a list for an object', { ...offer, extra: { ...offer.extra, name: ['USDC'] } }],
    ['null for nothing', { ...offer, extra: null }],
  ])('is not taken for %s', (_, other) => {
    const { value } = reader()
    value(offer)
    expect(value(other)).toEqual(JSON.parse(JSON.stringify(other)))
    // Nor the other way round, where the other was there first.
    expect(value(offer)).toEqual(offer)
  })

  it('is told apart by what an object has itself', () => {
    const { value } = reader()
    const text = (extra: string) => `{"accepted":${JSON.stringify({ ...offer, extra: 0 }).replace('"extra":0', `"extra":${extra}`)}}`
    expect(value(text('{"name":"USDC","__proto__":{}}'))?.extra?.more).toBeUndefined()
    expect(value(text('{"name":"USDC","more":2}'))?.extra?.more).toBe(2)
    expect(value(text('{"name":"USDC","constructor":{}}'))?.extra?.more).toBeUndefined()
  })

  it('is refused each time where it does not fit, with the place that is wrong', () => {
    const { read } = reader()
    for (let time = 0; time < 2; time += 1) {
      expect(read({ ...offer, amount: '-1' }).error?.issues[0]).toMatchObject({ path: ['accepted', 'amount'] })
    }
    for (const other of [null, 7, true, []]) expect(read(other).success).toBe(false)
  })

  it('is refused where its members are objects that are no texts', () => {
    const { read } = reader()
    for (const network of [{ toString: 1, valueOf: 1 }, { toString: null }, [[{ toString: 1 }]], { __proto__: null }])
      for (let time = 0; time < 2; time += 1) expect(read({ ...offer, network }).success).toBe(false)
  })

  it('is judged each time, and not kept, where it is longer or deeper than anybody means it', () => {
    const { value, judged } = reader()
    const text = (extra: string) => `{"accepted":${JSON.stringify({ ...offer, extra: 0 }).replace('"extra":0', `"extra":${extra}`)}}`
    const nested = (depth: number) => text(`${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`)
    const hostile = [nested(20_000), nested(9), text(`{"a":"${'x'.repeat(4096)}"}`), text(`{"${'x'.repeat(4096)}":1}`)]
    hostile.push(
      text(`[${'0,'.repeat(4096)}0]`)
        .replace(/:\[/, ':{"a":[')
        .replace(/\]/, ']}'),
    )
    for (const one of hostile) {
      const before = judged()
      const first = value(one)
      expect(first === undefined).toBe(false)
      expect(Object.isFrozen(first)).toBe(false)
      expect(value(one) === first).toBe(false)
      expect(judged()).toBe(before + 2)
    }
    expect(value(nested(5))).toBe(value(nested(5)))
  })

  it('is forgotten where there is too much of it, the oldest first', () => {
    const { value, judged } = reader(2)
    const [first, second] = [value(offer), value({ ...offer, amount: '2000' })]
    value({ ...offer, amount: '3000' })
    expect(value({ ...offer, amount: '2000' })).toBe(second)
    expect(judged()).toBe(3)
    expect(value(offer)).not.toBe(first)
    expect(value(offer)).toEqual(first)
  })
})
