import { once } from 'node:events'
import { type Server as HttpServer, createServer as listenHttp } from 'node:http'
import type { AddressInfo } from 'node:net'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner } from '@flow402x/adapters-evm/receipt'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createListings, httpResource } from '@flow402x/bazaar/seller'
import { formatAmount } from '@flow402x/core'
import { offerReceipt } from '@flow402x/core/receipt'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import { createX402SDK, type Dev, type X402SDK } from 'flow402x'
import * as z from 'zod/mini'

type Telling = { readonly title: string; readonly say: (line: string) => void }
type Chain = Dev['chains'][number]

/**
 * An agent looks for the cheapest text generation that answers, pays it, checks the receipt that its seller signed, and rates it. Of three
 * that are there the cheapest has gone away since it was listed.
 */
export async function buyInTheBazaar({ chains: [chain], world }: Dev, { title, say }: Telling): Promise<void> {
  if (chain === undefined) throw new Error('the local world lacks a chain')
  const marketplace = world.bazaar.url
  const sdk = createX402SDK(chain.buyer.privateKey, chain.network, { marketplace, env: {} })
  say(`${title}: category ai.text-generation, cheapest first`)
  const [cheap, gone] = await Promise.all([openTeller(chain, { price: '$0.004', world }), openTeller(chain, { price: '$0.002', world })])
  try {
    for (const { url } of [cheap, gone]) await list(sdk, url)
    gone.server.close()
    gone.server.closeAllConnections()
    // Looked at again, nobody is there.
    await list(sdk, gone.url)
    const found = await sdk.discoverServices({ category: 'ai', subcategory: 'text-generation', sort: 'price', network: chain.network })
    for (const { name, url, pricePerRequest, currency, healthy } of found)
      say(`  finds  ${pricePerRequest} ${currency}, ${healthy === true ? 'healthy' : 'failing'}: ${name} at ${url}`)
    const best = found.find(({ healthy }) => healthy === true)
    if (best?.url !== cheap.url) throw new Error('the cheapest healthy service is another')
    await buyAndRate(sdk, { chain, marketplace, url: best.url, say })
  } finally {
    cheap.server.close()
    cheap.server.closeAllConnections()
  }
}

type Buying = { readonly chain: Chain; readonly marketplace: string; readonly url: string; readonly say: (line: string) => void }

async function buyAndRate(sdk: X402SDK, { chain, marketplace, url, say }: Buying): Promise<void> {
  let standing = 'unknown'
  sdk.on('paid', (event) => {
    standing = event.standing?.status ?? 'unchecked'
  })
  const before = await chain.balanceOf(chain.seller.address)
  const response = await sdk.post(url, { prompt: 'a lighthouse keeper' })
  say(`  ${response.status}    ${await response.text()}`)
  const moved = (await chain.balanceOf(chain.seller.address)) - before
  say(`  chain  seller +${formatAmount(moved, { decimals: 6, symbol: 'USDC' })}; the receipt that the seller signed is ${standing}`)
  let taken = false
  for await (const purchase of sdk.purchases()) {
    if (purchase.url === url) taken = (await sdk.rateService({ purchase, stars: 5, comment: 'A good story.' })).accepted
  }
  // Another who asks, and remembers no answer from before.
  const reader = createX402SDK(chain.buyer.privateKey, chain.network, { marketplace, env: {} })
  const [rated] = await reader.discoverServices({ query: 'teller', healthy: true })
  say(`  rated  ${rated?.rating} of 5 stars by a wallet that paid; the bazaar shows it\n`)
  const isRight = moved === 4000n && standing === 'valid' && taken && rated?.url === url && rated.rating === 5
  if (!isRight) throw new Error('the bazaar does not agree with what was bought')
}

async function list(sdk: X402SDK, url: string): Promise<void> {
  await sdk.registerService({
    name: 'Teller',
    description: 'Tells stories.',
    category: 'ai',
    subcategory: 'text-generation',
    url,
    method: 'POST',
  })
}

type Opening = { readonly price: string; readonly world: Dev['world'] }

/** A seller of stories, described once, whose receipts are signed by the wallet that is paid. */
async function openTeller(chain: Chain, { price, world }: Opening): Promise<{ readonly url: string; readonly server: HttpServer }> {
  const wallet = privateKeySigner(chain.seller.privateKey)
  const tell = httpResource({
    method: 'POST',
    path: '/tell',
    price,
    description: 'Tells a story of a few words.',
    serviceName: 'Teller',
    category: 'ai.text-generation',
    body: z.object({ prompt: z.string() }),
    example: { body: { prompt: 'a fox' } },
  })
  const listings = createListings({ title: 'Teller', resources: [tell], payTo: [wallet.address] })
  const shop = createServer({
    facilitator: httpFacilitator(world.facilitator.url),
    store: memoryStore({ force: true }),
    schemes: [exactEvmServer({ network: chain.network, payTo: wallet.address })],
    extensions: [offerReceipt({ signers: [evmStatementSigner(wallet)] })],
  })
  const charge = paid(shop, tell.terms, (_, response) =>
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(JSON.stringify({ text: 'Once, a lighthouse keeper was paid for his light.' })),
  )
  let origin = ''
  const server = listenHttp((request, response) => {
    if (request.url === tell.path) void charge(request, response)
    else if (request.url === '/.well-known/x402') response.end(JSON.stringify(listings.wellKnown(origin)))
    else response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on a host and a port has an address with both.
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url: `${origin}${tell.path}`, server }
}
