import type { IncomingMessage, ServerResponse } from 'node:http'
import { httpResource } from '@flow402x/bazaar/seller'
import { formatDecimal, settlementOverridesHeader } from '@flow402x/core'
import type { PaidOptions, Server } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import * as z from 'zod/mini'

/** A route of the sample seller: what it asks and what it gives. */
export type SampleRoute = PaidOptions & {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly price: string
  readonly description: string
  /** What a marketplace lists it under. */
  readonly serviceName: string
  readonly category: string
  /** How it is paid: its price, what was used up to its price, or a transfer of a chain's coin that its buyer makes himself. */
  readonly scheme: 'exact' | 'upto' | 'transfer-proof'
  /** The coin that is transferred. */
  readonly coin?: 'ETH' | 'SOL'
  readonly serve: (request: IncomingMessage, response: ServerResponse) => unknown
}

/** Things worth paying for: a JSON API, something that answers prompts, the same paid by the token, and a file that streams. */
export const sampleRoutes: readonly SampleRoute[] = [
  {
    method: 'GET',
    path: '/weather',
    serviceName: 'Sample weather',
    category: 'data.weather',
    scheme: 'exact',
    price: '$0.001',
    description: 'The weather at a place',
    mimeType: 'application/json',
    serve: weather,
  },
  {
    method: 'POST',
    path: '/ai/generate',
    serviceName: 'Sample stories',
    category: 'ai.text-generation',
    scheme: 'exact',
    price: '$0.02',
    description: 'A short story for a prompt',
    mimeType: 'application/json',
    serve: story,
  },
  {
    method: 'POST',
    path: '/ai/tokens',
    serviceName: 'Sample long stories',
    category: 'ai.text-generation',
    scheme: 'upto',
    price: '$0.05',
    description: 'A long story for a prompt, at $0.0001 for each token',
    mimeType: 'application/json',
    serve: tokens,
  },
  {
    method: 'GET',
    path: '/primes.csv',
    serviceName: 'Sample primes',
    category: 'data.mathematics',
    scheme: 'exact',
    price: '$0.05',
    flow: 'upfront',
    description: 'The first 20,000 primes',
    mimeType: 'text/csv',
    serve: primes,
  },
  {
    method: 'GET',
    path: '/article',
    serviceName: 'Sample article',
    category: 'media.text',
    scheme: 'exact',
    price: '$0.02',
    description: 'How a page is paid, as a page that is paid',
    mimeType: 'text/html',
    serve: article,
  },
  {
    method: 'GET',
    path: '/forecast',
    serviceName: 'Sample forecast',
    category: 'data.weather',
    scheme: 'transfer-proof',
    coin: 'ETH',
    price: '0.0001 ETH',
    description: 'The weather of tomorrow, for ether',
    mimeType: 'application/json',
    serve: weather,
  },
  {
    method: 'GET',
    path: '/premium',
    serviceName: 'Sample premium forecast',
    category: 'data.weather',
    scheme: 'transfer-proof',
    coin: 'SOL',
    price: '0.001 SOL',
    description: 'The weather of tomorrow, for a transfer of SOL and two headers',
    mimeType: 'application/json',
    serve: weather,
  },
]

/** Where a route is paid: transfers of a coin are taken at a till of their own. */
type Till = Exclude<SampleRoute['scheme'], 'transfer-proof'> | NonNullable<SampleRoute['coin']>

/** The sample seller as a listener of `node:http`, with a server for each way to be paid. */
export function sampleSeller(
  servers: Readonly<Record<Till, Server | undefined>>,
  more: ReadonlyMap<string, (request: IncomingMessage, response: ServerResponse) => unknown> = new Map(),
): (request: IncomingMessage, response: ServerResponse) => void {
  const routes = new Map<string, (request: IncomingMessage, response: ServerResponse) => unknown>([
    ...sampleRoutes.flatMap((route) => {
      const server = servers[route.coin ?? (route.scheme === 'upto' ? 'upto' : 'exact')]
      return server === undefined ? [] : [[`${route.method} ${route.path}`, charged(server, route)] as const]
    }),
    ...more,
  ])
  return (request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://seller.invalid')
    const method = request.method === 'OPTIONS' ? (request.headers['access-control-request-method'] ?? 'GET') : request.method
    const route = routes.get(`${method === 'HEAD' ? 'GET' : method} ${pathname}`)
    if (route !== undefined) void route(request, response)
    else
      json(response, {
        status: 404,
        body: { error: 'not found', routes: sampleRoutes.map(({ method: verb, path, price }) => `${verb} ${path} ${price}`) },
      })
  }
}

function charged(server: Server, { method, path, category, scheme: _, coin: __, serve, ...options }: SampleRoute) {
  // What is posted here is a prompt; marketplaces show how.
  const posted = method === 'POST' ? { body: z.object({ prompt: z.string() }), example: { body: { prompt: 'a lighthouse' } } } : {}
  const { extensions } = httpResource({ ...options, ...posted, method, path, category }).terms
  return paid(server, { ...options, extensions }, serve)
}

function weather(request: IncomingMessage, response: ServerResponse): void {
  const place = new URL(request.url ?? '/', 'http://seller.invalid').searchParams.get('place') ?? 'Lisbon'
  const letters = [...place].reduce((sum, letter) => sum + (letter.codePointAt(0) ?? 0), 0)
  json(response, { status: 200, body: { place, sky: ['fair', 'cloudy', 'rain', 'wind'][letters % 4], celsius: 5 + (letters % 25) } })
}

async function story(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const prompt = promptOf(await bodyOf(request))
  if (prompt === undefined)
    return json(response, { status: 400, body: { error: 'Send JSON with a "prompt" of 1 to 500 letters. Nothing was charged.' } })
  json(response, { status: 200, body: { model: 'sample-rules-1', text: tell(prompt) } })
}

const mostTokens = 500
// A token costs $0.0001.
const dollars = (count: number) => formatDecimal({ units: BigInt(count), scale: 4 })

/** Makes tokens until the story is told or the ceiling is reached, and says what they cost: that is settled, and nothing else. */
async function tokens(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const prompt = promptOf(await bodyOf(request))
  if (prompt === undefined)
    return json(response, { status: 400, body: { error: 'Send JSON with a "prompt" of 1 to 500 letters. Nothing was charged.' } })
  const made: string[] = []
  for (const token of tokensOf(prompt)) {
    if (made.length === mostTokens) break
    made.push(token)
  }
  response.setHeader(settlementOverridesHeader, JSON.stringify({ amount: `$${dollars(made.length)}` }))
  json(response, { status: 200, body: { model: 'sample-rules-1', tokens: made.length, text: made.join(' ') } })
}

/** The words of a story for a prompt. */
export function* tokensOf(prompt: string): Generator<string> {
  const parts = prompt.split(',').map((part) => part.trim())
  for (const [index] of parts.entries()) yield* tell([...parts.slice(index), ...parts.slice(0, index)].join(',')).split(' ')
}

function article(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>How this page was paid</title>
<style>
:root { color-scheme: light dark; font: 1.0625rem/1.7 ui-serif, Georgia, serif }
body { max-width: 36rem; margin: 2rem auto; padding: 0 1.25rem }
h1 { line-height: 1.2; letter-spacing: -.01em }
</style>
</head>
<body>
<h1>How this page was paid</h1>
<p>You opened its address, and the seller answered with a price. Your wallet signed a payment of exactly that, to exactly him.</p>
<p>He made this page, had the payment settled, and only then was it sent. Nobody stood between you, and nobody keeps an account of you.</p>
<p id="when"></p>
<script>document.getElementById('when').textContent = 'You read it on ' + new Date().toDateString() + '.'</script>
</body>
</html>
`)
}

function primes(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/csv' })
  response.write('n,prime\n')
  const found: number[] = []
  for (let candidate = 2; found.length < 20_000; candidate += candidate === 2 ? 1 : 2) {
    if (found.some((prime, index) => index > 0 && prime * prime <= candidate && candidate % prime === 0)) continue
    found.push(candidate)
    response.write(`${found.length},${candidate}\n`)
  }
  response.end()
}

// No model runs here: a rule writes the story, so that the route can be tried without one.
function tell(prompt: string): string {
  const [hero = 'a traveller', thing = 'a coin', place = 'the sea'] = prompt
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean)
  return `Once, near ${place}, ${hero} found ${thing}. It paid its way, one request at a time, and nobody had to trust anybody.`
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks).toString('utf8')
}

const question = z.looseObject({ prompt: z.string().check(z.minLength(1), z.maxLength(500)) })

function promptOf(text: string): string | undefined {
  try {
    return z.parse(question, JSON.parse(text)).prompt
  } catch {
    return undefined
  }
}

function json(response: ServerResponse, { status, body }: { status: number; body: unknown }): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
