import type { LedgerEntry, LedgerStore, PayeeStore, SignedPayment } from '@flow402x/core'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'

type Books = { readonly noJournal?: string }

const start = 1_763_700_000_000
const dead = start / 1000 + 600
const unique = () => crypto.randomUUID()

/** What a client's ledger must do, over several connections to the same data. */
export function testLedger({ noJournal }: Books, open: () => readonly LedgerStore[]): void {
  if (noJournal !== undefined) {
    it.skip(`writes down what was signed (${noJournal})`, () => {})
    return
  }
  const at = (index: number) => {
    const all = open()
    const ledger = all[index % all.length]
    if (ledger === undefined) throw new Error('no ledger was opened')
    return ledger
  }

  it('begins a call once, and shows it to the rest', async () => {
    verifies('H2')
    const call = newCall()
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => at(index).begin({ ...call, reservation: `${index}` }, start)),
    )
    const [first, ...more] = answers.filter(({ begun }) => begun)
    expect(more).toEqual([])
    expect(first?.entry).toEqual({ ...call, reservation: first?.entry.reservation, state: 'signing', epoch: 1 })
    expect(answers.map(({ entry }) => entry)).toEqual(answers.map(() => first?.entry))
    expect(await at(3).find(call.id)).toEqual(first?.entry)
    expect(await at(0).find(unique())).toBeUndefined()
  })

  it('keeps what was signed as it is', async () => {
    const { entry } = await at(0).begin(newCall(), start)
    const change = { state: 'open', deadAfter: dead + 0.5, signed } as const
    const changed = await at(1).update(entry, change)
    expect(changed).toEqual({ ...entry, ...change, epoch: 2 })
    expect(await at(2).find(entry.id)).toEqual(changed)
    expect(await at(2).update(changed ?? entry, { state: 'paid' })).toEqual({ ...changed, state: 'paid', epoch: 3 })
  })

  it('keeps receipts of what was paid, and lists them all', async () => {
    verifies('BAZAAR-RECEIPTS')
    const receipt = {
      success: true,
      transaction: '0x1',
      network: 'eip155:84532',
      extensions: { 'offer-receipt': { info: { receipt: {} } } },
    }
    const paid: LedgerEntry[] = []
    for (let index = 0; index < 40; index += 1) {
      const { entry } = await at(index).begin(newCall(), start)
      const kept = await at(index).update(entry, {
        state: index % 4 === 3 ? 'open' : 'paid',
        signed,
        ...(index % 4 === 2 ? {} : { receipt }),
      })
      if (index % 4 < 2 && kept !== undefined) paid.push(kept)
    }
    const listed: LedgerEntry[] = []
    for await (const entry of at(1).receipts()) listed.push(entry)
    const ids = new Set(listed.map(({ id }) => id))
    expect(ids.size).toBe(listed.length)
    for (const entry of paid) expect(listed).toContainEqual(entry)
    expect(listed.every(({ state, receipt: kept }) => state === 'paid' && kept !== undefined)).toBe(true)
    const [first] = paid
    expect(first && (await at(2).find(first.id))).toEqual({ ...first, receipt })
    expect(first && (await at(3).update(first, { deadAfter: dead + 9 }))).toMatchObject({ receipt })
  })

  it('changes for who knows its epoch, and for one of many', async () => {
    verifies('M6')
    const { entry } = await at(0).begin(newCall(), start)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => at(index).update(entry, { deadAfter: dead + index })))
    expect(answers.filter((answer) => answer !== undefined)).toHaveLength(1)
    expect(await at(0).update(entry, { state: 'released' })).toBeUndefined()
    expect(await at(0).update({ ...entry, id: unique() }, { state: 'released' })).toBeUndefined()
    expect(await at(0).find(entry.id)).toMatchObject({ state: 'signing', epoch: 2 })
  })

  it('begins again only what was released, for the same request', async () => {
    verifies('H2')
    const call = newCall()
    let { entry } = await at(0).begin(call, start)
    for (const state of ['signing', 'open', 'paid', 'released'] as const) {
      entry = (await at(0).update(entry, { state, signed })) ?? entry
      expect(await at(1).begin({ ...call, binding: 'another' }, start)).toEqual({ begun: false, entry })
      if (state !== 'released') expect(await at(1).begin(call, start)).toEqual({ begun: false, entry })
    }
    const again = { ...call, reservation: unique(), deadAfter: dead + 1 }
    expect(await at(1).begin(again, start)).toEqual({ begun: true, entry: { ...again, state: 'signing', epoch: entry.epoch + 1 } })
    expect(await at(0).find(call.id)).not.toHaveProperty('signed')
  })

  it('lists what is not over and dead', async () => {
    verifies('M32')
    const ids: Record<string, string> = {}
    for (const state of ['signing', 'open', 'paid', 'released'] as const) {
      for (const deadAfter of [1000, 2000]) {
        const { entry } = await at(0).begin({ ...newCall(), deadAfter }, start)
        if (state !== 'signing') await at(0).update(entry, { state })
        ids[entry.id] = `${state} ${deadAfter}`
      }
    }
    const many = await Promise.all(Array.from({ length: 40 }, (_, index) => at(index).begin({ ...newCall(), deadAfter: 1001 }, start)))
    const listed = async (now: number) => {
      const found: LedgerEntry[] = []
      for await (const entry of at(1).overdue(now)) found.push(entry)
      return found
    }
    const named = (entries: readonly LedgerEntry[]) => entries.flatMap(({ id }) => ids[id] ?? []).sort()
    expect(named(await listed(1_000_000))).toEqual([])
    expect(named(await listed(1_000_500))).toEqual(['open 1000', 'signing 1000'])
    expect((await listed(1_500_000)).filter(({ deadAfter }) => deadAfter === 1001)).toHaveLength(many.length)
  })

  it('forgets what was over long ago, and nothing else', async () => {
    const kept = []
    for (const [state, deadAfter] of [
      ['paid', 1000],
      ['released', 1000],
      ['paid', 9_000_000],
      ['open', 1000],
      ['signing', 1000],
    ] as const) {
      const { entry } = await at(0).begin({ ...newCall(), deadAfter }, start)
      await at(0).update(entry, { state })
      kept.push(entry.id)
    }
    expect(await at(1).purge(1_000_000 + 3_600_000)).toBe(0)
    expect(await at(1).purge(1_000_000 + 3_600_001)).toBeGreaterThanOrEqual(2)
    const states = await Promise.all(kept.map(async (id) => (await at(2).find(id))?.state))
    expect(states).toEqual([undefined, undefined, 'paid', 'open', 'signing'])
  })
}

/** What a store of payees must do, over several connections to the same data. */
export function testPayees({ noJournal }: Books, open: () => readonly PayeeStore[]): void {
  if (noJournal !== undefined) {
    it.skip(`keeps whom an origin had paid (${noJournal})`, () => {})
    return
  }
  const at = (index: number) => {
    const all = open()
    const payees = all[index % all.length]
    if (payees === undefined) throw new Error('no payees were opened')
    return payees
  }

  it('keeps the first of many, and changes it for who knows it', async () => {
    verifies('M32')
    const name = { origin: `https://${unique()}.example`, network: 'eip155:84532', scheme: 'exact' }
    const payee = (index: number) => ({ payTo: `0x${index}`, asset: '0xA' })
    expect(await at(0).find(name)).toBeUndefined()
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => at(index).pin(name, payee(index))))
    const [first = payee(0)] = answers
    expect(answers).toEqual(answers.map(() => first))
    expect(await at(1).pin(name, payee(98), payee(99))).toEqual(first)
    expect(await at(1).pin(name, payee(98), { ...first, asset: '0xB' })).toEqual(first)
    expect(await at(1).pin(name, payee(98), first)).toEqual(payee(98))
    expect(await at(2).find(name)).toEqual(payee(98))
    for (const other of [{ origin: 'https://other.example' }, { network: 'eip155:8453' }, { scheme: 'upto' }]) {
      expect(await at(0).find({ ...name, ...other })).toBeUndefined()
    }
  })
}

function newCall(): Parameters<LedgerStore['begin']>[0] {
  return { id: unique(), binding: `GET https://shop.example/${unique()} `, reservation: unique(), deadAfter: dead }
}

const signed: SignedPayment = {
  key: { id: 'eip155:84532/0xa/0x1/0x2', payer: '0x1', deadAfter: dead },
  payment: {
    x402Version: 2,
    resource: { url: 'https://shop.example/x' },
    accepted: {
      scheme: 'exact',
      network: 'eip155:84532',
      amount: '10000',
      asset: '0xA',
      payTo: '0xB',
      maxTimeoutSeconds: 600,
      extra: { name: 'USDC', deep: { list: [1, null] } },
      later: 'x',
    },
    payload: { signature: '0x', authorization: { nonce: '0x2' } },
    extensions: null,
  },
  version: 2,
  url: 'https://shop.example/x?y#z',
  method: 'GET',
  maxTimeoutSeconds: 600,
}
