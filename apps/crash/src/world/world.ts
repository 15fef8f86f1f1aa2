import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { JournalStore } from '@flow402x/core'
import { freePort } from '@flow402x/testing/servers'
import { type Part, startPart } from './child.ts'
import { openClaims, openJournal, type Place } from './places.ts'
import type { Rail, Wallet } from './rail.ts'

/** A shop: a seller process, a facilitator process, their books, and a chain. */
export type World = {
  readonly rail: Rail
  readonly seller: Part
  /** Every process that sells: they are one shop at one origin. */
  readonly sellers: readonly Part[]
  readonly facilitator: Part
  /** Who is paid here and nowhere else. */
  readonly payTo: string
  /** Who sends the settlements of this shop. */
  readonly signer: string
  /** The books, read from outside. */
  readonly store: Awaited<ReturnType<typeof openClaims>>
  readonly journal: JournalStore
  /** The URL of a purchase that nobody else makes. */
  newUrl(): string
  newPayer(): Promise<Wallet>
  /** What the processes said they did, across their deaths. */
  log(): readonly string[]
  stop(): Promise<void>
}

/** Where the books are; a file of its own each where nothing is said. `sellers` is how many processes sell: one unless told. */
export type WorldOptions = {
  readonly rail: Rail
  readonly claims?: Place
  readonly journal?: Place
  readonly rpcUrl?: string
  readonly sellers?: number
}

/** Opens a shop. */
export async function startWorld({ rail, claims, journal, rpcUrl = rail.rpcUrl, sellers: count = 1 }: WorldOptions): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-crash-'))
  const file = (name: string): Place => ({ engine: 'SQLite', at: join(folder, `${name}.db`) })
  const places = { claims: claims ?? file('claims'), journal: journal ?? file('journal') }
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const [signer, payTo] = await Promise.all([rail.newSigner(), rail.newPayee()])
  const common = { network: rail.network, rpcUrl, log, ...(rail.used !== undefined && { used: rail.used }) }
  const facilitator = await startPart({
    program: 'facilitator',
    plan: { ...common, port: await freePort(), journal: places.journal, signers: [signer.privateKey] },
  })
  const sells = {
    ...common,
    claims: places.claims,
    facilitator: facilitator.url,
    payTo,
    secret: rail.secret,
    ...(count > 1 && { origin: 'http://shop.test' }),
  }
  const startSeller = async (): Promise<Part> => startPart({ program: 'seller', plan: { ...sells, port: await freePort() } })
  const seller = await startSeller()
  const sellers = [seller, ...(await Promise.all(Array.from({ length: count - 1 }, startSeller)))]
  const [claimBooks, journalBooks] = [await openClaims(places.claims), await openJournal(places.journal)]
  let purchases = 0
  return {
    rail,
    seller,
    sellers,
    facilitator,
    payTo,
    signer: signer.address,
    store: claimBooks,
    journal: journalBooks.journal,
    newUrl() {
      purchases += 1
      return `${seller.url}/goods/${purchases}`
    },
    newPayer: rail.newPayer,
    log: () => readFileSync(log, 'utf8').trim().split('\n'),
    async stop() {
      await Promise.all([...sellers, facilitator].map((part) => part.kill()))
      await Promise.all([claimBooks.close(), journalBooks.close()])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
