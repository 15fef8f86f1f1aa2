import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type PaymentPayload, paymentRequiredHeader, paymentSignatureHeader, type Store } from '@flow402x/core'
import type { EvmChain } from '@flow402x/testing'
import { type ChannelPayer, channelPayer } from '@flow402x/testing/contracts'
import { freePort } from '@flow402x/testing/servers'
import { expect } from 'vitest'
import { type Part, startPart } from '../world/child.ts'
import { openSql, type Place } from '../world/places.ts'
import { evmRail } from '../world/rail.ts'

/** What every purchase costs, in atomic units. */
export const price = 10_000n

/** A shop that sells over channels: sellers that can be killed, a facilitator, their books and the chain. */
export type ChannelShop = {
  readonly chain: EvmChain
  readonly store: Store
  readonly sellers: readonly Part[]
  readonly seller: Part
  /** A payer with a channel that holds a hundred prices. */
  newPayer(): Promise<ChannelPayer>
  /** What the payee was ever paid. */
  earned(): Promise<bigint>
  log(): readonly string[]
  stop(): Promise<void>
}

/** Where its books are, how many processes sell, and whether they claim. */
export type ChannelShopOptions = { readonly books?: Place; readonly sellers?: number; readonly claims?: boolean }

/** Opens a shop on a chain, for a payee of its own. */
export async function openChannelShop(
  chain: EvmChain,
  { books, sellers: count = 1, claims = true }: ChannelShopOptions,
): Promise<ChannelShop> {
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-channels-'))
  const place = books ?? { engine: 'SQLite', at: join(folder, 'books.db') }
  const log = join(folder, 'log')
  writeFileSync(log, '')
  const rail = evmRail(chain)
  const { network, rpcUrl } = chain
  const [signer, payee] = await Promise.all([rail.newSigner(), rail.newSigner()])
  const journal: Place = { engine: 'SQLite', at: join(folder, 'journal.db') }
  const facilitator = await startPart({
    program: 'facilitator',
    plan: { network, rpcUrl, log, channels: true, port: await freePort(), journal, signers: [signer.privateKey] },
  })
  const plan = {
    network,
    rpcUrl,
    log,
    books: place,
    claims,
    facilitator: facilitator.url,
    payTo: payee.address,
    authorizer: payee.privateKey,
  }
  const sellers: Part[] = []
  for (let index = 0; index < count; index += 1) {
    sellers.push(await startPart({ program: 'channel-seller', plan: { ...plan, port: await freePort() } }))
  }
  const [seller] = sellers
  if (seller === undefined) throw new TypeError('A shop needs a seller.')
  const store = await openSql(place)
  let salts = 0n
  return {
    chain,
    store,
    seller,
    sellers,
    async newPayer() {
      const asked = await fetch(`${seller.url}/terms`)
      const [accepted] = paymentRequiredHeader.decode(asked.headers.get('PAYMENT-REQUIRED') ?? '').accepts
      salts += 1n
      const wallet = await rail.newPayer()
      const payer = await channelPayer(chain, { key: asHex(wallet.privateKey), accepted: accepted ?? Object.create(null), salt: salts })
      expect(await payer.fill(100n * price, 1n)).toBe('done')
      return payer
    },
    earned: () => chain.balanceOf(asHex(payee.address)),
    log: () => readFileSync(log, 'utf8').trim().split('\n'),
    async stop() {
      await Promise.all([...sellers, facilitator].map((part) => part.kill()))
      await store.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Sends a payment once; `gone` where the seller died with the answer. */
export async function sendOnce(url: string, payment: PaymentPayload): Promise<string> {
  try {
    const response = await fetch(url, { headers: { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(payment) } })
    const body = await response.text()
    if (response.status === 200) return body
    const required = response.headers.get('PAYMENT-REQUIRED')
    return `${response.status} ${required === null ? '' : paymentRequiredHeader.decode(required).error}`.trim()
  } catch {
    return 'gone'
  }
}

/** Sends the same payment until it brings goods or says that it never will. */
export async function sendUntilServed(url: () => string, payment: PaymentPayload): Promise<string> {
  for (;;) {
    const got = await sendOnce(url(), payment)
    if (got === 'goods' || got.includes('mismatch')) return got
    await wait(100)
  }
}

function asHex(text: string): `0x${string}` {
  return `0x${text.slice(2)}`
}
