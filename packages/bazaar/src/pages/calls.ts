import { networkFamily } from '@flow402x/core'
import type { Listing } from '@flow402x/core/bazaar'
import { visibleJson } from '@flow402x/core/page'
import * as z from 'zod/mini'
import { leadPrice, moneyOf, titleOf } from './words.ts'

/** One way to call a resource, as text to copy. */
export type Call = { readonly id: string; readonly title: string; readonly note: string; readonly code: string }

// What a seller shows of a call (wire.md §16.1).
const sample = z.looseObject({
  info: z.looseObject({
    input: z.looseObject({
      queryParams: z.nullish(z.record(z.string(), z.unknown())),
      bodyType: z.nullish(z.string()),
      body: z.optional(z.unknown()),
    }),
  }),
})

/** The ways to call a resource. Whatever its seller wrote stands in quotes that it cannot leave, in a shell as in TypeScript. */
export function callsOf(listing: Listing): readonly Call[] {
  const { example, resource, type } = listing
  const url = example ?? resource
  if (!/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) return []
  if (type === 'mcp') return [mcpCall(listing, url)]
  const request = requestOf(listing, url)
  return [lookCall(request), payCall(listing, request), ...codeCall(listing, request)]
}

type SampleRequest = { readonly url: string; readonly method: string; readonly body?: string; readonly bodyType?: string }

function requestOf({ method, extensions }: Listing, where: string): SampleRequest {
  const { queryParams, body, bodyType } = z.safeParse(sample, extensions?.bazaar).data?.info.input ?? {}
  const url = new URL(where)
  if (url.search === '')
    for (const [name, value] of Object.entries(queryParams ?? {}).slice(0, 16)) url.searchParams.set(name, sampleText(value))
  const verb = /^[A-Z]{3,7}$/.test(method) ? method : 'GET'
  const sent = ['GET', 'HEAD'].includes(verb) ? undefined : bodyOf(body, bodyType)
  return { url: url.href, method: verb, ...sent }
}

// A longer sample is no line to copy.
const mostBody = 2000

/** A body as it is sent; nothing for one that is no text, or that `-d` would take for the name of a file of the buyer's. */
function bodyOf(body: unknown, bodyType: string | null | undefined): Pick<SampleRequest, 'body' | 'bodyType'> | undefined {
  if (body === undefined || bodyType === 'form-data') return undefined
  const isText = bodyType === 'text' && typeof body === 'string'
  const text = isText ? body : visibleJson(body)
  if (text.length > mostBody || text.startsWith('@')) return undefined
  return { body: text, bodyType: isText ? 'text/plain' : 'application/json' }
}

function sampleText(value: unknown): string {
  return typeof value === 'string' ? value : visibleJson(value ?? null)
}

function lookCall({ url, method }: SampleRequest): Call {
  // Curl takes brackets for a list of addresses unless it is told not to.
  const flags = `${/[[\]{}]/.test(url) ? ' -g' : ''}${method === 'GET' ? '' : ` -X ${method}`}`
  return {
    id: 'look',
    title: 'See its price',
    note: 'Any HTTP client will do: the answer is a 402 with the offers in it.',
    code: `curl -i${flags} ${quoted(url)}`,
  }
}

function payCall(listing: Listing, { url, method, body, bodyType }: SampleRequest): Call {
  const most = capOf(listing)
  const parts = [
    `npx flow402x pay ${quoted(url)}`,
    ...(method === (body === undefined ? 'GET' : 'POST') ? [] : [`-X ${method}`]),
    ...(body === undefined ? [] : [`-H ${quoted(`content-type: ${bodyType}`)}`, `-d ${quoted(body)}`]),
    ...(most === undefined ? [] : [`--max ${quoted(most)}`]),
  ]
  return {
    id: 'pay',
    title: 'Pay from the shell',
    note: `Curl that pays, at most ${most === undefined ? 'a dollar unless --max says otherwise' : 'what --max says'}. The key is read from FLOW402X_EVM_PRIVATE_KEY or FLOW402X_SOLANA_PRIVATE_KEY.`,
    code: parts.join(' \\\n  '),
  }
}

/** What pays by a scheme: the lines that make it, in the order in which they are written. */
type Payer = { readonly imports: readonly string[]; readonly signer: string; readonly scheme: string }

const evmSigner = "privateKeySigner(process.env.FLOW402X_EVM_PRIVATE_KEY ?? '')"

const payers: Readonly<Record<string, Payer>> = {
  'eip155 exact': {
    imports: ["import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'"],
    signer: evmSigner,
    scheme: 'exactEvmClient({ signer })',
  },
  'eip155 batch-settlement': {
    imports: [
      "import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'",
      "import { sqliteStore } from '@flow402x/store/sqlite'",
    ],
    signer: evmSigner,
    scheme: "batchSettlementClient({ signer, store: sqliteStore('wallet.db') })",
  },
  'solana exact': {
    imports: ["import { exactSolanaClient, secretKeySender } from '@flow402x/adapters-solana/client'"],
    signer: "secretKeySender(process.env.FLOW402X_SOLANA_PRIVATE_KEY ?? '')",
    scheme: 'exactSolanaClient({ signer })',
  },
}

function codeCall(listing: Listing, request: SampleRequest): Call[] {
  const known = listing.accepts.map(({ network, scheme }) => payers[`${networkFamily(network)} ${scheme}`])
  const payer = known.find((one) => one !== undefined)
  if (payer === undefined) return []
  const most = capOf(listing)
  const { note, imports, lines } = listing.stream == null ? calling(request) : reading(request)
  return [
    {
      id: 'code',
      title: 'TypeScript',
      note,
      code: [
        ...payer.imports,
        ...imports,
        '',
        `const signer = ${payer.signer}`,
        'const client = createClient({',
        `  schemes: [${payer.scheme}],`,
        `  budget: { ${most === undefined ? '' : `perPayment: '${most}', `}total: '$5' },`,
        '})',
        '',
        ...lines,
      ].join('\n'),
    },
  ]
}

type Code = { readonly note: string; readonly imports: readonly string[]; readonly lines: readonly string[] }

function calling(request: SampleRequest): Code {
  return {
    note: 'A fetch that pays within a budget, and signs at most one payment a call.',
    imports: ["import { createClient } from '@flow402x/client'"],
    lines: [`const response = await client.fetch(${visibleJson(request.url)}${initOf(request)})`, 'console.log(await response.text())'],
  }
}

function reading(request: SampleRequest): Code {
  const init = initOf(request)
  return {
    note: 'Pays while it is read, never more than a window ahead. What is not read is not paid.',
    imports: ["import { createClient, streamWallet } from '@flow402x/client'", "import { payStream } from '@flow402x/stream/client'"],
    lines: [
      'const stream = await payStream({',
      '  wallet: streamWallet(client),',
      `  url: ${visibleJson(request.url)},`,
      ...(init === '' ? [] : [`  init: ${init.slice(2).replaceAll('\n', '\n  ')},`]),
      "  budget: '$1',",
      '})',
      'for await (const chunk of stream) console.log(chunk)',
      'console.log(await stream.receipt)',
    ],
  }
}

function initOf({ method, body, bodyType }: SampleRequest): string {
  if (method === 'GET' && body === undefined) return ''
  const isJson = bodyType === 'application/json'
  const rest =
    body === undefined
      ? []
      : [`headers: { 'content-type': '${bodyType}' },`, `body: ${isJson ? `JSON.stringify(${body})` : visibleJson(body)},`]
  return `, {\n${[`method: '${method}',`, ...rest].map((line) => `  ${line}\n`).join('')}}`
}

/** The most that one call may cost, where that is known beforehand: a stream goes on for as long as it is paid. */
function capOf(listing: Listing): string | undefined {
  const price = leadPrice(listing)
  return price?.currency === 'USD' && listing.stream == null ? moneyOf(price) : undefined
}

function mcpCall(listing: Listing, url: string): Call {
  const name = titleOf(listing)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 32)
  return {
    id: 'mcp',
    title: 'MCP configuration',
    note: 'The server asks for payment when the tool is called; a client that speaks x402 pays in the same call.',
    code: visibleJson({ mcpServers: { [name || 'paid-tool']: { type: 'http', url: new URL(url).href } } }, { indent: 2 }),
  }
}

/** One word of a POSIX shell, whatever stands in it. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}
