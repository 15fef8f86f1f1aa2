// A service of one's own, listed in a bazaar of one's own, found, paid and rated. The READMEs of the SDK and of the bazaar quote this file.
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmStatementSigner } from '@flow402x/adapters-evm/receipt'
import { createListings, httpResource } from '@flow402x/bazaar/seller'
import { offerReceipt } from '@flow402x/core/receipt'
import { createX402SDK, type Registered, type Service, verifyX402Payment, type X402SDK, x402 } from 'flow402x'
import { Hono } from 'hono'
import * as z from 'zod'

/** The seller: a handler that asks whether it is paid. */
export function sovereignSeller(payTo: string, facilitatorUrl: string): Hono {
  // #region verify
  const app = new Hono()
  app.use('/ai/*', x402({ price: '$0.005', payTo, network: 'BASE_MAINNET', facilitatorUrl }))
  app.post('/ai/generate', async (c) => {
    const payment = await verifyX402Payment(c.req)
    if (!payment.verified) return c.json({ error: 'Payment required' }, 402)
    const { prompt } = await c.req.json()
    return c.json({ text: `Once upon a time: ${prompt}` })
  })
  // #endregion
  return app
}

/** The same service, described once by its own schemas: its 402, the well-known file and OpenAPI come from it, and its receipts are signed. */
export function describedSeller(privateKey: string, facilitatorUrl: string, origin: () => string): Hono {
  // #region describe
  const wallet = privateKeySigner(privateKey)
  const generate = httpResource({
    method: 'POST',
    path: '/ai/generate',
    price: '$0.005',
    description: 'Writes a story from a prompt.',
    serviceName: 'Teller',
    category: 'ai.text-generation',
    tags: ['ai', 'stories'],
    body: z.object({ prompt: z.string().max(500) }),
    output: z.object({ text: z.string() }),
    example: { body: { prompt: 'a fox' }, output: { text: 'Once upon a time: a fox' } },
  })
  const listings = createListings({ title: 'Teller', resources: [generate], payTo: [wallet.address] })
  const receipts = offerReceipt({ signers: [evmStatementSigner(wallet)] })

  const app = new Hono()
  app.get('/.well-known/x402', (c) => c.json(listings.wellKnown(origin())))
  app.get('/openapi.json', (c) => c.json(listings.openApi(origin())))
  app.use(
    generate.path,
    x402({
      ...generate.terms,
      extensions: [...generate.terms.extensions, receipts],
      payTo: wallet.address,
      network: 'BASE_MAINNET',
      facilitatorUrl,
    }),
  )
  // #endregion
  app.post(generate.path, async (c) => {
    const payment = await verifyX402Payment(c.req)
    if (!payment.verified) return c.json({ error: 'Payment required' }, 402)
    const { prompt } = await c.req.json()
    return c.json({ text: `Once upon a time: ${prompt}` })
  })
  return app
}

/** The buyer: an SDK with a key, a network and a facilitator of one's own. */
export function sovereignBuyer(privateKey: string): X402SDK {
  // #region sdk
  const sdk = createX402SDK(privateKey, 'BASE_MAINNET', { facilitatorUrl: 'https://your-facilitator.com' })
  // #endregion
  return sdk
}

/** Pays for a story. */
export async function generate(sdk: X402SDK, url: string): Promise<unknown> {
  // #region post
  const response = await sdk.post(url, { prompt: 'Generate a creative story' })
  // #endregion
  return await response.json()
}

/** Lists a service. */
export async function list(sdk: X402SDK, marketplace: string, url: string): Promise<Registered> {
  // #region register
  const listed = await sdk.registerService({
    marketplace,
    name: 'Teller',
    description: 'Writes a story from a prompt.',
    category: 'ai',
    subcategory: 'text-generation',
    url,
    pricePerRequest: '0.005',
    currency: 'USDC',
    network: 'BASE_MAINNET',
    facilitatorUrl: 'https://your-facilitator.com',
    tags: ['stories'],
    rateLimit: '100/hour',
    uptime: '99.9%',
  })
  // #endregion
  return listed
}

/** Finds services. */
export async function find(sdk: X402SDK, marketplace: string): Promise<readonly Service[]> {
  // #region discover
  const ai = await sdk.discoverServices({
    marketplace,
    category: 'ai',
    subcategory: 'text-generation',
    maxPricePerRequest: '0.01',
    network: 'BASE_MAINNET',
  })
  // #endregion
  return ai
}

/** Rates everything that was bought at a URL. */
export async function rate(sdk: X402SDK, marketplace: string, url: string): Promise<readonly { readonly accepted: boolean }[]> {
  const answers: { readonly accepted: boolean }[] = []
  // #region rate
  for await (const purchase of sdk.purchases()) {
    if (purchase.url === url) answers.push(await sdk.rateService({ marketplace, purchase, stars: 5, comment: 'A good story.' }))
  }
  // #endregion
  return answers
}
