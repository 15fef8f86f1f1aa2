import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClaimStore, JournalStore, PaymentPayload } from '@flow402x/core'
import type { EvmChain } from '@flow402x/testing'
import { freePort } from '@flow402x/testing/servers'
import { type Address, type Hex, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { type Part, startPart } from './child.ts'
import { openClaims, openJournal, type Place } from './places.ts'

/** A key that holds money on a local chain and nowhere else. */
export type Wallet = { readonly address: Address; readonly privateKey: Hex }

/** A shop: a seller process, a facilitator process, their books, and a chain. */
export type World = {
  readonly chain: EvmChain
  readonly seller: Part
  /** Every process that sells: they are one shop at one origin. */
  readonly sellers: readonly Part[]
  readonly facilitator: Part
  /** Who is paid here and nowhere else. */
  readonly payTo: Address
  /** Who sends the settlements of this shop. */
  readonly signer: Address
  /** The books, read from outside. */
  readonly claims: ClaimStore
  readonly journal: JournalStore
  /** The URL of a purchase that nobody else makes. */
  newUrl(): string
  newPayer(): Promise<Wallet>
  /** Every payment that was ever sent here. */
  readonly payments: Set<PaymentPayload>
  /** What the processes said they did, across their deaths. */
  log(): readonly string[]
  stop(): Promise<void>
}

/** Where the books are; a file of its own each where nothing is said. `sellers` is how many processes sell: one unless told. */
export type WorldOptions = {
  readonly chain: EvmChain
  readonly claims?: Place
  readonly journal?: Place
  readonly rpcUrl?: string
  readonly sellers?: number
}

/** Opens a shop. */
export async function startWorld({ chain, claims, journal, rpcUrl = chain.rpcUrl, sellers: count = 1 }: WorldOptions): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-crash-'))
  const file = (name: string): Place => ({ engine: 'SQLite', at: join(folder, `${name}.db`) })
  const places = { claims: claims ?? file('claims'), journal: journal ?? file('journal') }
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const signer = newWallet()
  const payTo = newWallet().address
  await chain.rpc('anvil_setBalance', [signer.address, parseEther('100')])
  const { network } = chain
  const common = { network, log }
  const facilitator = await startPart({
    program: 'facilitator',
    plan: { ...common, port: await freePort(), journal: places.journal, rpcUrl, signers: [signer.privateKey] },
  })
  const sells = { ...common, claims: places.claims, facilitator: facilitator.url, payTo, ...(count > 1 && { origin: 'http://shop.test' }) }
  const startSeller = async (): Promise<Part> => startPart({ program: 'seller', plan: { ...sells, port: await freePort() } })
  const seller = await startSeller()
  const sellers = [seller, ...(await Promise.all(Array.from({ length: count - 1 }, startSeller)))]
  const [claimBooks, journalBooks] = [await openClaims(places.claims), await openJournal(places.journal)]
  let purchases = 0
  return {
    chain,
    seller,
    sellers,
    facilitator,
    payTo,
    signer: signer.address,
    claims: claimBooks.claims,
    journal: journalBooks.journal,
    payments: new Set(),
    newUrl() {
      purchases += 1
      return `${seller.url}/goods/${purchases}`
    },
    async newPayer() {
      const payer = newWallet()
      await chain.mint(payer.address, 1_000_000n)
      return payer
    },
    log: () => readFileSync(log, 'utf8').trim().split('\n'),
    async stop() {
      await Promise.all([...sellers, facilitator].map((part) => part.kill()))
      await Promise.all([claimBooks.close(), journalBooks.close()])
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

function newWallet(): Wallet {
  const privateKey = generatePrivateKey()
  return { privateKey, address: privateKeyToAddress(privateKey) }
}
