import { readFile, writeFile } from 'node:fs/promises'
import { exactEvmClient, type PayerChannelEvent, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactSolanaClient, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import { type Client, type ClientEvent, createClient, type LeftOut, type Quote, receiptOf, type Terms } from '@flow402x/client'
import { type ClientScheme, formatNetwork, isX402Error, networkFamily, networks, parseNetwork } from '@flow402x/core'
import { hexKey } from '../wallet/account.ts'
import { channelPayer, dollars, tellOf } from './channel-payer.ts'
import { type Command, printJson, readArguments, type Terminal } from './command.ts'
import { cliErrors } from './errors.ts'
import { type FoundKey, findKey, keyVariables } from './key.ts'
import { rpcVariable } from './rpc-url.ts'

const usage = 'flow402x pay <url> [options]'

/** `flow402x pay`: curl that pays. */
export const pay: Command = {
  summary: 'Requests a URL and pays what it asks, within a limit.',
  usage: `${usage}

  -X, --request METHOD   the method; GET, or POST where there is data
  -H, --header LINE      a header, as often as needed
  -d, --data DATA        the body; @file reads a file, @- standard input
  -o, --output FILE      writes the answer's body to a file
  -i, --include          prints the answer's status and headers before its body
      --max PRICE        the most this call may cost; $1 unless given
      --max-deposit PRICE  the most that may lie with one seller, where calls are paid over a channel; $5 unless given
      --network NAME     pays on this network only
      --quote            prints what would be paid, and pays nothing
      --json             prints one line of JSON: status, price, receipt and body

The keys come from FLOW402X_EVM_PRIVATE_KEY and FLOW402X_SOLANA_PRIVATE_KEY, or from the files that the same names with _FILE name.
Channels are kept in ~/.flow402x/wallet.db, or in the file that FLOW402X_WALLET_FILE names; a deposit into one is no part of the price,
and "flow402x channels" gets it back. It pays where it has a key; with both, on the network that the seller offers first, unless --network names one.
What is said about the payment goes to standard error, the body to standard output. The exit code is 0 for a status below 400.`,
  async run(args, terminal) {
    const options = readOptions(args)
    const init = await requestOf(options, terminal)
    const told: { terms?: Terms; channel: PayerChannelEvent[] } = { channel: [] }
    const { client, close } = await clientFor(options, {
      terminal,
      onChannel: (event) => {
        told.channel.push(event)
        if (!options.json) terminal.note(tellOf(event))
      },
      onEvent: (event) => {
        if (event.type === 'signing') told.terms = event.terms
        const line = options.json ? undefined : narrate(event)
        if (line !== undefined) terminal.note(line)
      },
    })
    try {
      const lost = (cause: unknown): never => {
        // What was signed has an error of the client's own, and who gave up knows.
        if (isX402Error(cause) || told.terms !== undefined || terminal.signal.aborted) throw cause
        throw cliErrors('cli/unreachable', { url: options.url, why: reasonOf(cause), cause })
      }
      if (options.quote) return printQuote(await client.quote(options.url, init).catch(lost), { json: options.json, terminal })
      const response = await client.fetch(options.url, init).catch(lost)
      await printAnswer(response, { options, ...told, terminal })
      return response.status < 400 ? 0 : 1
    } finally {
      await close()
    }
  },
}

/** What is behind a request that failed, which says no more than that. */
function reasonOf(error: unknown): string {
  const { cause = error } = error instanceof Error ? error : {}
  if (!(cause instanceof Error)) return String(cause)
  return cause.message || ('code' in cause ? String(cause.code) : cause.name)
}

type PayOptions = ReturnType<typeof readOptions>

function readOptions(args: readonly string[]) {
  const { values, positionals } = readArguments(args, { options, usage, most: Number.POSITIVE_INFINITY })
  const [url, ...more] = positionals
  if (url === undefined || more.length > 0) throw cliErrors('cli/usage', { why: 'Give exactly one URL.', usage })
  if (!URL.canParse(url)) throw cliErrors('cli/usage', { why: `"${url}" is no URL; write it with http:// or https://.`, usage })
  const { request, header = [], data, output, include = false, max, network, quote = false, json = false } = values
  const { 'max-deposit': maxDeposit } = values
  return {
    url,
    method: request ?? (data === undefined ? 'GET' : 'POST'),
    headers: header.map(splitHeader),
    data,
    output,
    include,
    max,
    maxDeposit,
    network,
    quote,
    json,
  }
}

const options = {
  request: { type: 'string', short: 'X' },
  header: { type: 'string', short: 'H', multiple: true },
  data: { type: 'string', short: 'd' },
  output: { type: 'string', short: 'o' },
  include: { type: 'boolean', short: 'i' },
  max: { type: 'string' },
  'max-deposit': { type: 'string' },
  network: { type: 'string' },
  quote: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':')
  if (colon < 1) throw cliErrors('cli/usage', { why: `"${line}" is no header; write it as "Name: value".`, usage })
  return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()]
}

async function requestOf({ method, headers, data }: PayOptions, terminal: Terminal): Promise<RequestInit> {
  const body = data === undefined ? undefined : await readData(data, terminal)
  return { method, headers, signal: terminal.signal, ...(body === undefined ? {} : { body }) }
}

async function readData(data: string, { stdin }: Terminal): Promise<string | Blob> {
  if (!data.startsWith('@')) return data
  if (data !== '@-') {
    return new Blob([await readFile(data.slice(1)).catch((cause: unknown) => unreadable(data.slice(1), cause))])
  }
  const chunks: Buffer[] = []
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk))
  return new Blob([Buffer.concat(chunks)])
}

function unreadable(file: string, cause: unknown): never {
  throw cliErrors('cli/unreadable-file', { file, why: cause instanceof Error ? cause.message : String(cause), cause })
}

type Hearing = {
  readonly terminal: Terminal
  readonly onEvent: (event: ClientEvent) => void
  readonly onChannel: (event: PayerChannelEvent) => void
}

type Paying = { readonly client: Client; close(): Promise<void> }

async function clientFor({ max, maxDeposit, network: name }: PayOptions, { terminal, onEvent, onChannel }: Hearing): Promise<Paying> {
  const limit = max === undefined ? {} : { perPayment: dollars(max), total: dollars(max) }
  const network = name === undefined ? undefined : parseNetwork(name)
  const { evm, solana } = await keysFor(network, terminal)
  const payer =
    evm === undefined
      ? undefined
      : await channelPayer(terminal.env, { key: evm, network, maxDeposit, onEvent: onChannel }).catch((error: unknown) => {
          if (isX402Error(error)) throw error
          // A home that cannot be written to stops no payment of another kind.
          terminal.note(`note no channels: ${error instanceof Error ? error.message : String(error)}`)
          return undefined
        })
  const only = network === undefined ? {} : { networks: [network] }
  const schemes = [
    ...(evm === undefined ? [] : [exactEvmClient({ signer: privateKeySigner(evm), ...only })]),
    ...(payer === undefined ? [] : [payer.scheme]),
    ...(solana === undefined ? [] : solanaSchemes(solana, { env: terminal.env, network })),
  ]
  return { client: createClient({ schemes, budget: limit, onEvent }), close: async () => payer?.close() }
}

/** Every key there is; of one family where a network is named. Errors: `cli/no-key`. */
async function keysFor(network: string | undefined, terminal: Terminal): Promise<{ readonly evm?: string; readonly solana?: FoundKey }> {
  const wanted = network === undefined ? undefined : networkFamily(network)
  const key = async (family: keyof typeof keyVariables) =>
    wanted === undefined || wanted === family ? findKey(terminal, { variable: keyVariables[family] }) : undefined
  const [evm, solana] = [await key('eip155'), await key('solana')]
  if (evm === undefined && solana === undefined) {
    const variables = Object.entries(keyVariables).flatMap(([family, variable]) =>
      wanted === undefined || wanted === family ? [variable] : [],
    )
    throw cliErrors('cli/no-key', { variables })
  }
  return { ...(evm && { evm: hexKey(evm) }), ...(solana && { solana }) }
}

type OnSolana = Pick<Terminal, 'env'> & { readonly network: string | undefined }

/** One scheme for each network: an RPC, where the environment names one, is asked for what an offer does not say. */
function solanaSchemes(key: FoundKey, { env, network }: OnSolana): ClientScheme[] {
  const signer = secretKeySender(key)
  const known = networks.map((facts) => facts.network).filter((id) => networkFamily(id) === 'solana')
  return (network === undefined ? known : [network]).map((id) => {
    const rpcUrl = env[rpcVariable(id)]
    return exactSolanaClient({ signer, networks: [id], ...(rpcUrl === undefined ? {} : { reader: solanaReader({ rpcUrl }) }) })
  })
}

function narrate(event: ClientEvent): string | undefined {
  switch (event.type) {
    case 'quoted':
      return `402  asks ${event.terms.price} on ${formatNetwork(event.terms.asset.network)} for ${event.terms.requirements.payTo}`
    case 'signed':
      return 'sign authorization signed, sending it'
    case 'pending':
      return `wait the payment is not final yet, sending the same one again in ${event.waitMs} ms`
    case 'paid':
      return `paid ${event.terms.price}${event.receipt === undefined || event.receipt.transaction === '' ? '' : ` in ${event.receipt.transaction}`}`
    case 'unsettled':
      return `402  the payment was not taken: ${event.reason}`
    default:
      return undefined
  }
}

function printQuote(quote: Quote, { json, terminal }: { readonly json: boolean; readonly terminal: Terminal }): number {
  if (json) printJson(terminal, quote)
  else if (quote.kind === 'free') terminal.out(`free: it answers ${quote.status} without a payment\n`)
  else if (quote.kind === 'unpayable') terminal.out(`unpayable:\n${reasons(quote.leftOut)}`)
  else terminal.out([quote.terms, ...quote.alternatives].map(describe).join('') + reasons(quote.leftOut))
  return quote.kind === 'unpayable' ? 1 : 0
}

function describe({ price, asset, requirements, maxTimeoutSeconds }: Terms): string {
  return `${price} on ${formatNetwork(asset.network)} by ${requirements.scheme} for ${requirements.payTo}, valid ${maxTimeoutSeconds} s\n`
}

function reasons(leftOut: readonly LeftOut[]): string {
  return leftOut.map(({ scheme, network, why }) => `not ${scheme} on ${formatNetwork(network)}: ${why}\n`).join('')
}

type Answer = {
  readonly options: PayOptions
  readonly terms?: Terms
  readonly channel: readonly PayerChannelEvent[]
  readonly terminal: Terminal
}

async function printAnswer(response: Response, { options, terms, channel, terminal }: Answer): Promise<void> {
  const { json, output, include } = options
  const receipt = receiptOf(response)
  if (json) {
    const body = new Uint8Array(await response.arrayBuffer())
    if (output !== undefined) await writeFile(output, body)
    const shown = output === undefined ? { body: new TextDecoder().decode(body) } : { output }
    const told = { ...shown, ...(channel.length === 0 ? {} : { channel: channel.map(plain) }) }
    terminal.out(`${JSON.stringify({ status: response.status, price: terms?.price, network: terms?.asset.network, receipt, ...told })}\n`)
    return
  }
  if (include) terminal.out(`HTTP ${response.status}\n${[...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n')}\n\n`)
  const chunks = chunksOf(response)
  if (output !== undefined) return writeFile(output, chunks)
  for await (const chunk of chunks) terminal.out(chunk)
}

/** What happened on a channel, with amounts as JSON has them. */
function plain({ amount, ...event }: PayerChannelEvent) {
  return { ...event, amount: `${amount}`, ...(event.type === 'drew' ? { left: `${event.left}` } : {}) }
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader()
  for (let read = await reader?.read(); read !== undefined && !read.done; read = await reader?.read()) yield read.value
}
