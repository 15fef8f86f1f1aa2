import type { CatalogueEntry, CatalogueQuery, CatalogueStore, Listing, NewEntry, WitnessedPayment } from '@flow402x/core/bazaar'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'

/** A store with a catalogue: each `open` is one more connection to the same, empty data. */
export type CatalogueSuite = {
  readonly name: string
  open(): Promise<{ readonly catalogue: CatalogueStore; close(): Promise<void> }>
}

const start = 1_763_700_000_000
const base = 'eip155:8453'
const solana = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'
const usdc = '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913'

/** What every catalogue must do, in one list. */
export function testCatalogue({ name, open }: CatalogueSuite): void {
  describe(name, () => {
    let stores: Awaited<ReturnType<typeof open>>[] = []
    beforeAll(async () => {
      stores = [await open(), await open(), await open()]
    })
    afterAll(async () => {
      for (const store of stores) await store.close()
    })
    const at = (index: number): CatalogueStore => {
      const store = stores[index % stores.length]
      if (store === undefined) throw new Error('no store was opened')
      return store.catalogue
    }
    describe('entries', () => testEntries(at))
    describe('search', () => testSearch(at))
    describe('what payers say', () => testStanding(at))
  })
}

type At = (index: number) => CatalogueStore

function testEntries(at: At): void {
  it('keeps one of 20 at once, as it is, for every connection', async () => {
    const entry = newEntry({ note: 'an odd note', claims: { name: 'caf\u00e9 \u{1f4b8} \\ " \' ; -- \u0000 $1 ?1', tags: ['a'] } })
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => at(index).add({ ...entry, failures: index })))
    const [added, ...more] = answers.filter((answer) => answer.added)
    expect(more).toEqual([])
    expect(answers.map((answer) => answer.entry)).toEqual(answers.map(() => added?.entry))
    expect(added?.entry).toEqual({ ...entry, failures: added?.entry.failures, epoch: 1 })
    expect(await at(2).find(entry.key)).toEqual(added?.entry)
    expect(await at(1).find('GET https://never.example/')).toBeUndefined()
    expect(await at(1).findAll([entry.key, 'GET https://never.example/', entry.key])).toEqual([added?.entry])
    expect(await at(1).findAll([])).toEqual([])
    expect(await at(1).findAt(entry.target.url)).toEqual([added?.entry])
    expect(await at(1).findAt(`${entry.target.url}/b`)).toEqual([])
  })

  it('keeps many at once as it keeps each alone', async () => {
    verifies('H12')
    const tag = unique()
    // More than one statement holds, of every kind.
    const some = Array.from({ length: 300 }, (_, index): NewEntry => {
      const offers = [{ amount: `0.0${(index % 9) + 1}` }, { network: solana }, { network: solana }].slice(0, index % 4)
      const listed = newListed({ tags: [tag], name: `n${index}`, quality: (index % 50) / 50, offers })
      const others = [newEntry(), { ...listed, state: 'unlisted', reason: 'dead', note: 'gone', failures: 9 } as const]
      return others[index % 10] ?? listed
    })
    // One stands already, and one comes a second time.
    const given = (end: string) => {
      const all = some.map((entry) => ({ ...entry, key: `${entry.key}${end}` }))
      const [standing = newEntry(), doubled = newEntry()] = all.slice(2)
      return { standing: { ...standing, quality: 0.99 }, all: [...all, { ...newListed({ offers: [{ amount: '9' }] }), key: doubled.key }] }
    }
    const [alone, together] = [given('alone'), given('together')]
    for (const { standing } of [alone, together]) await at(0).add(standing)
    const added: string[] = []
    for (const entry of alone.all) if ((await at(0).add(entry)).added) added.push(entry.key.replace(/alone$/, ''))
    expect(added).toHaveLength(299)
    expect(await at(1).addAll(together.all)).toEqual(added.map((key) => `${key}together`))
    expect(await at(2).addAll(together.all.slice(0, 3))).toEqual([])
    expect(await at(2).addAll([])).toEqual([])

    const rows = async ({ all }: typeof alone) => {
      const found = new Map((await at(2).findAll(all.map(({ key }) => key))).map((entry) => [entry.key, entry]))
      return all.map(({ key }) => ({ ...found.get(key), key: key.replace(/(alone|together)$/, '') }))
    }
    expect(await rows(together)).toEqual(await rows(alone))
    for (const query of [{}, { maxPrice: '0.04' }, { sort: 'price' }, { sort: 'new' }, { words: 'n14' }, { network: solana }] as const) {
      const found = (await at(1).search({ tag, limit: 1000, ...query })).map(({ key }) => key)
      const ending = (end: string) => found.flatMap((key) => (key.endsWith(end) ? [key.slice(0, -end.length)] : []))
      expect({ query, found: ending('together') }).toEqual({ query, found: ending('alone') })
      expect(ending('alone')).not.toEqual([])
    }
  })

  it('keeps none of many where one cannot be kept', async () => {
    const good = Array.from({ length: 256 }, () => newEntry())
    // One engine takes no such text and the other no such number.
    const bad = newEntry({ note: '\u0000', since: Number.NaN })
    await expect(at(0).addAll([...good, bad])).rejects.toThrow()
    expect(await at(1).findAll(good.map(({ key }) => key))).toEqual([])
    expect(await at(0).addAll(good)).toHaveLength(256)
  })

  it('lets one of 20 at once change an entry, and tells of that one change alone', async () => {
    verifies('H12')
    const { entry } = await at(0).add(newEntry())
    const topic = `topic-${entry.key}`
    const changed = await Promise.all(
      Array.from({ length: 20 }, (_, index) => {
        const tell = [{ id: `${entry.key} ${index}`, topic, body: '{}', createdAt: start }]
        return at(index).update(entry, { ...entry, state: 'unlisted', reason: 'dead', failures: index }, { tell })
      }),
    )
    const now = await at(0).find(entry.key)
    expect(changed.filter((one) => one !== undefined)).toEqual([now])
    expect(now).toMatchObject({ state: 'unlisted', reason: 'dead', epoch: 2 })
    const told = await at(1).outbox.take({ now: start, until: start + 1, most: 1000 })
    expect(told.filter((message) => message.topic === topic)).toHaveLength(1)
  })

  it('gives what is due to one of 20 takers, until its lease ends', async () => {
    verifies('BAZAAR-LEASES')
    const entries = Array.from({ length: 10 }, () => newEntry({ nextProbeAt: start - 10_000 }))
    for (const entry of entries) await at(0).add(entry)
    const keys = entries.map(({ key }) => key)
    const mine = (taken: readonly CatalogueEntry[]) => taken.map(({ key }) => key).filter((key) => keys.includes(key))
    const taken = await Promise.all(
      Array.from({ length: 20 }, (_, index) => at(index).due({ now: start - 10_000, until: start - 5000, most: 2 })),
    )
    // Who came at the same moment may have got less than there is: the next one gets the rest.
    const rest = await at(0).due({ now: start - 10_000, until: start - 5000, most: 100 })
    expect([...taken, rest].flatMap(mine).toSorted()).toEqual(keys.toSorted())
    expect(mine(await at(0).due({ now: start - 5001, until: start, most: 100 }))).toEqual([])
    expect(mine(await at(0).due({ now: start - 5000, until: start + 1e9, most: 100 })).toSorted()).toEqual(keys.toSorted())
  })

  it('counts what an origin has in each state', async () => {
    const origin = `https://${unique()}.example`
    for (const state of ['listed', 'rejected', 'pending'] as const)
      await at(0).add(newEntry({ state, target: { url: `${origin}/${state}` } }))
    for (const [state, count] of [
      ['listed', 1],
      ['rejected', 1],
      ['pending', 1],
      ['unlisted', 0],
    ] as const)
      expect(await at(1).countOf(origin, state)).toBe(count)
  })
}

function testSearch(at: At): void {
  const find = async (query: Partial<CatalogueQuery>) => (await at(1).search({ limit: 20, ...query })).map(({ key }) => key)

  it('finds by words, however they are written, and by what is being typed', async () => {
    verifies('BAZAAR-SEARCH')
    const word = unique()
    const { key } = await list(at(0), { name: `Übersetzer ${word}`, description: 'Translates stories into 日本語文章 quickly' })
    for (const words of [
      word,
      `${word} UBERSETZER`,
      `${word} story`,
      `translates ${word.slice(0, 9)}`,
      `${word} 日本語`,
      `the ${word} for stories`,
    ])
      expect({ words, found: await find({ words }) }).toEqual({ words, found: [key] })
    expect(await find({ words: `${word} submarine` })).toEqual([])
    expect(await find({ words: `${word} submarine`, any: true })).toContain(key)
  })

  it.each(['"', "'", '\\', "' OR 1=1 --", '" OR *', "':* | !'", 'NEAR(a b)', 'terms:x', '\u0000', '*', '()', '&|!<->', '-', '😀'])(
    'reads %j as words and nothing else',
    async (words) => {
      const word = unique()
      const { key } = await list(at(0), { name: word })
      expect(await find({ words: `${word} ${words} ${word}`, any: true })).toContain(key)
      await expect(at(0).search({ words, limit: 5 })).resolves.toBeInstanceOf(Array)
    },
  )

  it('filters by every fact, exactly, and compares a price in one offer that meets the rest', async () => {
    verifies('BAZAAR-SEARCH')
    const tag = unique()
    const cheap = await list(at(0), {
      tags: [tag],
      category: 'ai.text-generation',
      offers: [
        { amount: '0.02' },
        { network: solana, asset: 'EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v', payTo: 'So1anaPayee', amount: '0.5' },
      ],
    })
    const stream = await list(at(0), {
      tags: [tag],
      category: 'media',
      offers: [{ amount: '0.010', unit: 'second', scheme: 'batch-settlement' }],
      transports: ['sse'],
    })
    const ether = await list(at(0), {
      tags: [tag],
      verified: true,
      failing: true,
      offers: [{ asset: '0xeeee', symbol: 'ETH', currency: 'ETH', amount: '0.000001' }],
    })
    const all = [cheap.key, stream.key, ether.key].toSorted()
    const cases: readonly (readonly [Partial<CatalogueQuery>, readonly string[]])[] = [
      [{}, all],
      [{ category: 'ai' }, [cheap.key]],
      [{ category: 'ai.text-generation' }, [cheap.key]],
      [{ category: 'ai.text' }, []],
      [{ network: solana }, [cheap.key]],
      [{ network: 'eip155:1' }, []],
      [{ asset: 'usdc' }, [cheap.key, stream.key]],
      [{ asset: usdc.toUpperCase().replace('0X', '0x') }, [cheap.key, stream.key]],
      [{ asset: 'ETH', maxPrice: '0.000001' }, [ether.key]],
      [{ asset: 'ETH', maxPrice: '0.0000009' }, []],
      [{ scheme: 'batch-settlement' }, [stream.key]],
      [{ unit: 'second' }, [stream.key]],
      [{ unit: 'second', maxPrice: '0.01' }, [stream.key]],
      [{ transport: 'sse' }, [stream.key]],
      [{ transport: 'ws' }, []],
      [{ payTo: 'So1anaPayee' }, [cheap.key]],
      [{ payTo: 'so1anapayee' }, []],
      [{ payTo: 'So1anaPayee', network: base }, []],
      // Never a coin by its bare number: what is not named is compared in dollars.
      [{ maxPrice: '0.02' }, [cheap.key, stream.key]],
      [{ maxPrice: '0.019999999999999999999' }, [stream.key]],
      [{ maxPrice: '0.02', network: solana }, []],
      [{ maxPrice: '0.5', network: solana }, [cheap.key]],
      [{ verified: true }, [ether.key]],
      [{ healthy: true }, [cheap.key, stream.key]],
      [{ type: 'mcp' }, []],
      [{ type: 'http' }, all],
      [{ extensions: ['bazaar'] }, all],
      [{ extensions: ['bazaar', 'sign-in-with-x'] }, []],
    ]
    for (const [query, expected] of cases) {
      expect({ query, found: (await find({ tag, ...query })).toSorted() }).toEqual({ query, found: expected.toSorted() })
      expect({ query, count: await at(2).count({ tag, ...query }) }).toEqual({ query, count: expected.length })
    }
  })

  it('gives the best first, or the cheapest, or the newest, page by page without gaps', async () => {
    verifies('BAZAAR-SEARCH')
    const tag = unique()
    const keys: string[] = []
    for (const [quality, amount] of [
      [0.2, '0.3'],
      [0.9, '10'],
      [0.5, '0.04'],
      [0.9, undefined],
    ] as const)
      keys.push((await list(at(0), { tags: [tag], quality, offers: [{ amount }] })).key)
    const [a, b, c, d] = keys
    expect(await find({ tag })).toEqual([d, b, c, a])
    expect(await find({ tag, sort: 'new' })).toEqual([d, c, b, a])
    expect(await find({ tag, sort: 'price' })).toEqual([c, a, b])
    const pages = [await find({ tag, limit: 3 }), await find({ tag, limit: 3, offset: 3 }), await find({ tag, limit: 3, offset: 6 })]
    expect(pages.map((page) => page.length)).toEqual([3, 1, 0])
    expect(pages.flat()).toEqual([d, b, c, a])
    expect((await at(0).search({ limit: 2 })).length).toBe(2)
    // However few are wanted, they are the best of all that match.
    for (const limit of [1, 2, 3, 4]) expect(await find({ words: tag, limit })).toEqual([d, b, c, a].slice(0, limit))
  })

  it('forgets the words of what is not listed any more, and follows every change', async () => {
    verifies('H12')
    const [word, other] = [unique(), unique()]
    const first = await list(at(0), { name: word, quality: 0.1 })
    const second = await list(at(0), { name: word, quality: 0.2 })
    expect(await find({ words: word })).toEqual([second.key, first.key])
    expect(await find({ words: word, limit: 1 })).toEqual([second.key])
    const better = await at(1).update(first, { ...first, quality: 0.8 })
    expect(await find({ words: word })).toEqual([first.key, second.key])
    const hidden = better && (await at(2).update(better, { ...better, state: 'unlisted', reason: 'dead' }))
    expect(await find({ words: word })).toEqual([second.key])
    expect(await at(0).find(first.key)).toMatchObject({ state: 'unlisted', reason: 'dead', listing: { name: word } })
    const { listing } = first
    if (hidden !== undefined && listing !== undefined)
      await at(0).update(hidden, { ...hidden, state: 'listed', reason: 'live', listing: { ...listing, name: other } })
    expect(await find({ words: word })).toEqual([second.key])
    expect(await find({ words: other })).toEqual([first.key])
    expect(await at(1).update(first, { ...first, quality: 0.5 })).toBeUndefined()
  })
}

function testStanding(at: At): void {
  it('counts a transfer once, whoever shows it for whatever', async () => {
    verifies('M34')
    const payment = newPayment({ payer: '0xAB', payerCluster: 'c' })
    const kept = await Promise.all(
      Array.from({ length: 12 }, (_, index) => at(index).witness({ ...payment, key: `${payment.key}${index % 2}` })),
    )
    expect(kept.filter(Boolean)).toHaveLength(1)
  })

  it('knows payers by their cluster, without the sellers own, and what they have paid to others', async () => {
    verifies('M34')
    const key = `GET https://${unique()}.example/`
    const [honest, ring] = [unique(), unique()]
    const pay = (payment: Partial<WitnessedPayment>) => at(0).witness(newPayment({ key, sellerCluster: 'seller', ...payment }))
    await pay({ payerCluster: honest, payer: 'w1' })
    await pay({ payerCluster: honest, payer: 'w2' })
    for (const seller of [`${honest}x`, `${honest}y`, `${honest}y`, honest])
      await pay({ payerCluster: honest, key: `${key}${seller}`, sellerCluster: seller })
    for (const seller of ['x', 'y'].map((one) => `${honest}${one}`))
      await pay({ payerCluster: `${honest}2`, key: `${key}${seller}`, sellerCluster: `${seller}` })
    await pay({ payerCluster: ring })
    for (let index = 0; index < 5; index += 1) await pay({ payerCluster: ring, key: `${key}${index}`, sellerCluster: ring })
    // Sellers that nobody else pays, and one that only pays itself besides.
    for (const seller of ['own1', 'own2']) await pay({ payerCluster: ring, key: `${key}${seller}`, sellerCluster: `${ring}${seller}` })
    await pay({ payerCluster: `${ring}own1`, key: `${key}own1`, sellerCluster: `${ring}own1` })
    await pay({ payerCluster: 'seller' })
    const { payers } = await at(1).standing(key)
    expect(payers.toSorted((a, b) => b.unrelatedSellers - a.unrelatedSellers)).toEqual([
      { cluster: honest, unrelatedSellers: 2 },
      { cluster: ring, unrelatedSellers: 0 },
    ])
  })

  it('hears a wallet that paid for this listing, once, and its latest word', async () => {
    verifies('M34')
    const payment = newPayment({ payer: '0xAbCd', payerCluster: 'cluster' })
    const { key, network, transaction } = payment
    const receipt = { format: 'jws' as const, signature: 'a.b.c' }
    const rating = { key, network, transaction, payer: '0xABCD', stars: 2, comment: 'odd \u{1f4b8} "', issuedAt: 100, receipt }
    expect(await at(0).rate(rating)).toBe(false)
    await at(0).witness(payment)
    for (const change of [{ key: `${key}x` }, { payer: '0xabce' }, { transaction: 'another' }, { network: 'eip155:1' }])
      expect(await at(1).rate({ ...rating, ...change })).toBe(false)
    expect(await at(1).rate(rating)).toBe(true)
    expect(await at(2).rate({ ...rating, stars: 5 })).toBe(false)
    expect((await at(0).standing(key)).ratings).toEqual([{ ...rating, payer: '0xabcd', cluster: 'cluster' }])
    const { comment: _, receipt: __, ...bare } = rating
    expect(await at(2).rate({ ...bare, stars: 5, issuedAt: 101 })).toBe(true)
    expect((await at(0).standing(key)).ratings).toEqual([{ ...bare, stars: 5, issuedAt: 101, payer: '0xabcd', cluster: 'cluster' }])
  })
}

/** A name that no other test uses, in letters and digits. */
function unique(): string {
  return `w${crypto.randomUUID().replaceAll('-', '').slice(0, 15)}q`
}

function newEntry(change: Partial<NewEntry> = {}): NewEntry {
  const target = change.target ?? { url: `https://${unique()}.example/a` }
  const key = `GET ${target.url}`
  return {
    key,
    target,
    state: 'pending',
    reason: 'probe_pending',
    since: start,
    claims: {},
    quality: 0,
    failures: 0,
    nextProbeAt: start + 1e9,
    ...change,
  }
}

type Offered = Partial<Record<'network' | 'asset' | 'symbol' | 'currency' | 'scheme' | 'payTo' | 'unit', string>> & {
  readonly amount?: string | undefined
}

type Shown = Partial<Pick<Listing, 'name' | 'description' | 'tags' | 'category'>> & {
  readonly quality?: number
  readonly verified?: boolean
  readonly failing?: boolean
  readonly transports?: string[]
  readonly offers?: readonly Offered[]
}

/** Writes a listed entry down. */
async function list(catalogue: CatalogueStore, shown: Shown): Promise<CatalogueEntry> {
  const given = newListed(shown)
  const { added, entry } = await catalogue.add(given)
  expect({ added, listing: entry.listing }).toEqual({ added: true, listing: given.listing })
  return entry
}

function newListed(seen: Shown): NewEntry {
  const { quality = 0.5, verified = false, failing = false, transports, offers = [{ amount: '0.01' }], ...shown } = seen
  const { key, target, ...rest } = newEntry()
  const full = offers.map(({ amount, ...offer }) => ({
    ...{ network: base, asset: usdc, symbol: 'USDC', currency: 'USD', scheme: 'exact', payTo: '0xPayee', unit: 'request' },
    ...offer,
    ...(amount === undefined ? {} : { amount }),
  }))
  const listing: Listing = {
    key,
    resource: target.url,
    type: 'http',
    method: 'GET',
    x402Version: 2,
    lastUpdated: new Date(start).toISOString(),
    listedAt: new Date(start).toISOString(),
    accepts: full.map(({ network, asset, scheme, payTo }) => ({ network, asset, scheme, payTo, amount: '1', maxTimeoutSeconds: 60 })),
    prices: full.map(({ payTo: _, ...price }) => price),
    health: { status: failing ? 'failing' : 'healthy', score: 1 },
    ratings: { count: 0, weight: 0, payers: 0, trust: 0 },
    owner: { verified },
    extensions: { bazaar: {} },
    ...(transports === undefined ? {} : { stream: { rate: '0.01 USD/second', unit: 'second', transports } }),
    ...shown,
  }
  return { ...rest, key, target, state: 'listed', reason: 'live', quality, listing }
}

function newPayment(change: Partial<WitnessedPayment> = {}): WitnessedPayment {
  const key = `GET https://${unique()}.example/`
  return {
    network: base,
    transaction: unique(),
    index: 0,
    key,
    payer: unique(),
    payTo: 'seller',
    payerCluster: unique(),
    sellerCluster: unique(),
    at: start,
    ...change,
  }
}
