import { type Bazaar, createBazaar } from '@flow402x/bazaar/server'
import { type DiscoverySearchQuery, judgeListing, type Listing, type NewEntry } from '@flow402x/core/bazaar'
import { postgresStore } from '@flow402x/store/postgres'
import { sqliteStore } from '@flow402x/store/sqlite'
import { inFlight, playRole, roleArgument } from '../measure/part.ts'

/** Which engine, at which file or URL. */
export type BazaarArgument = { readonly engine: 'SQLite' | 'PostgreSQL'; readonly at: string }

/** Fills a catalogue, and searches it one question after another: gives the milliseconds that 95 of 100 answers took at most. */
export type BazaarCalls = { fill(count: number): Promise<number>; search(count: number): Promise<number> }

const { engine, at } = roleArgument<BazaarArgument>()
const store = engine === 'SQLite' ? sqliteStore(at) : await postgresStore(at)
const bazaar: Bazaar = createBazaar({ store })

// The same market each time: a generator of our own, with a seed.
let seed = 402
const random = (): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}
const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item // there is at least one
const syllables = 'ba ce di fo gu la me ni po ru sa te vi wo xu za'.split(' ')
const vocabulary = Array.from({ length: 4000 }, () => Array.from({ length: 2 + Math.floor(random() * 3) }, () => pick(syllables)).join(''))
// As in any language few words are in nearly every text, and most in few.
const word = (): string => vocabulary[Math.floor(vocabulary.length * random() ** 4)] ?? ''
const words = (count: number): string => Array.from({ length: count }, word).join(' ')

const networks = ['eip155:8453', 'eip155:84532', 'eip155:1', 'eip155:137', 'eip155:42161']
const usdc: Readonly<Record<string, string>> = {
  'eip155:8453': '0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913',
  'eip155:84532': '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
  'eip155:1': '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48',
  'eip155:137': '0x3c499c542cEF5E3811e1192ce70d8cC03d5c3359',
  'eip155:42161': '0xaf88d065e77c8cC2239327C5EDb3A432268e5831',
}
const categories = [
  'ai.text-generation',
  'ai.image-generation',
  'ai.speech',
  'data.weather',
  'data.finance',
  'media.video',
  'media.music',
  'tools',
]
const time = new Date(1_763_700_000_000).toISOString()
const atOnce = 512

playRole(
  {},
  {
    async fill(count: number): Promise<number> {
      // The next are made while the last are written down.
      await inFlight({ count: Math.ceil(count / atOnce), most: 2 }, async (index) => {
        const first = index * atOnce
        const made = Array.from({ length: Math.min(atOnce, count - first) }, (_, offset) => entry(first + offset + 1))
        await store.catalogue.addAll(made)
      })
      return count
    },
    async search(count: number): Promise<number> {
      const took: number[] = []
      for (let asked = 0; asked < count; asked += 1) {
        const question = ask()
        const began = performance.now()
        await bazaar.search(question)
        took.push(performance.now() - began)
      }
      return took.sort((a, b) => a - b)[Math.ceil(took.length * 0.95) - 1] ?? Number.NaN
    },
  },
)

/** What buyers ask: one to three words, every other time with what they can pay. */
function ask(): DiscoverySearchQuery {
  const query = words(1 + Math.floor(random() * 3))
  const narrow: Partial<DiscoverySearchQuery>[] = [
    {},
    { network: pick(networks) },
    { category: pick(categories).split('.')[0] },
    { maxPrice: '0.01', network: pick(networks), healthy: true },
    { category: pick(categories), sort: 'price' },
  ]
  return { query, ...(random() < 0.5 ? {} : pick(narrow)) }
}

function entry(number: number): NewEntry {
  const url = `https://host${number % 20_000}.example/${number}`
  const offers = Array.from({ length: 1 + (number % 2) }, () => {
    const network = pick(networks)
    const payTo = `0x${(number % 20_000).toString(16).padStart(40, '1')}`
    return {
      scheme: 'exact',
      network,
      asset: usdc[network] ?? '',
      amount: String(1 + Math.floor(random() * 50_000)),
      payTo,
      maxTimeoutSeconds: 60,
    }
  })
  const resource = { url, description: words(14), serviceName: words(2).slice(0, 32), tags: [word(), word(), word()] }
  const judged = judgeListing({ x402Version: 2, resource, accepts: offers }, { url, method: 'GET', claims: { category: pick(categories) } })
  if (!('facts' in judged)) throw new Error(`A listing of the benchmark is refused: ${judged.message}`)
  const listing: Listing = {
    ...judged.facts,
    health: { status: random() < 0.9 ? 'healthy' : 'failing', score: 1 },
    ratings: { count: 0, weight: 0, payers: 0, trust: 0 },
    owner: { verified: random() < 0.3 },
    lastUpdated: time,
    listedAt: time,
  }
  const { key } = listing
  return {
    key,
    target: { url, method: 'GET' },
    state: 'listed',
    reason: 'live',
    since: 0,
    claims: {},
    listing,
    quality: random(),
    failures: 0,
    nextProbeAt: 0,
  }
}
