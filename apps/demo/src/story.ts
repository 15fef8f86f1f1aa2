import { once as event } from 'node:events'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { type Client, createClient, receiptOf, type Terms } from '@flow402x/client'
import { formatAmount, formatNetwork, toProblem, X402Error } from '@flow402x/core'
import type { EvmChain } from '@flow402x/testing'
import { type Dev, startDev } from 'flow402x'

/** How the story is told: `once` ends after it, otherwise the world stays up until `signal`. */
export type StoryOptions = { readonly once: boolean; readonly signal: AbortSignal; readonly say: (line: string) => void }

/** One purchase of the story. */
type Scene = {
  readonly title: string
  readonly path: string
  readonly init?: RequestInit
  /** What is shown of the answer. */
  readonly show: (response: Response) => Promise<string>
}

const scenes: readonly Scene[] = [
  { title: 'A JSON API', path: '/weather?place=Lisbon', show: (response) => response.text() },
  {
    title: 'An AI-style POST',
    path: '/ai/generate',
    init: {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a lighthouse keeper, a silver whistle, the harbour' }),
    },
    show: (response) => response.text(),
  },
  { title: 'A file, streamed after it was paid', path: '/primes.csv', show: lastLine },
]

/** Starts a local world and pays each of its routes, printing every receipt. Gives the exit code. */
export async function tellStory({ once, signal, say }: StoryOptions): Promise<number> {
  const started = performance.now()
  say('Flow402x demo: a chain with the real USDC contract, a facilitator, a seller and a buyer, all on this machine.\n')
  const dev = await startDev({ signal, onProgress: (step) => say(`  ✓ ${step}`) })
  try {
    say(`  ready in ${seconds(started)}\n`)
    for (const [index, scene] of scenes.entries()) await play(dev, { scene, number: index + 1, say })
    await refuse(dev, say)
    say(`The story took ${seconds(started)} in all.`)
    if (once) return 0
    say(`\nThe seller stays at ${dev.world.seller.url}. Press Ctrl-C to stop.`)
    if (!signal.aborted) await event(signal, 'abort')
    return 0
  } catch (error) {
    say(error instanceof X402Error ? `✗ ${toProblem(error).detail} (${error.code})` : `✗ ${String(error)}`)
    return 1
  } finally {
    await dev.close()
  }
}

async function play(dev: Dev, { scene, number, say }: { scene: Scene; number: number; say: (line: string) => void }): Promise<void> {
  const chain = onlyChain(dev)
  const told: { terms?: Terms } = {}
  const client = buyerOf(chain, (terms) => {
    told.terms = terms
    say(`  402    asks ${terms.price} on ${formatNetwork(terms.asset.network)} (${terms.requirements.scheme})`)
  })
  say(`${number}. ${scene.title}: ${scene.init?.method ?? 'GET'} ${scene.path}`)
  const before = await balances(chain)
  const started = performance.now()
  const response = await client.fetch(`${dev.world.seller.url}${scene.path}`, scene.init)
  const shown = await scene.show(response)
  const receipt = receiptOf(response)
  const after = await balances(chain)
  say(`  ${response.status}    ${shown}`)
  say(`  paid   ${told.terms?.price ?? '?'} in transaction ${receipt?.transaction ?? 'none'} (${seconds(started)})`)
  say(`  chain  buyer ${change(after.buyer - before.buyer)}, seller ${change(after.seller - before.seller)}\n`)
  if (after.buyer - before.buyer !== -(told.terms?.amount ?? 0n) || after.seller - before.seller !== told.terms?.amount) {
    throw new Error(`the books do not agree with the chain for ${scene.path}`)
  }
}

async function refuse(dev: Dev, say: (line: string) => void): Promise<void> {
  const chain = onlyChain(dev)
  say('4. A buyer with a limit of $0.01: GET /primes.csv')
  const before = await balances(chain)
  const schemes = [exactEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })]
  const careful = createClient({ schemes, budget: { perPayment: '$0.01' } })
  const refusal = await careful.fetch(`${dev.world.seller.url}/primes.csv`).then(
    () => 'paid, although it must not',
    (error: unknown) => (error instanceof X402Error ? error.message : String(error)),
  )
  const after = await balances(chain)
  say(`  ${refusal}`)
  say(`  chain  buyer ${change(after.buyer - before.buyer)}\n`)
  if (after.buyer !== before.buyer) throw new Error('money moved past the limit')
}

function buyerOf({ buyer }: EvmChain, onTerms: (terms: Terms) => void): Client {
  return createClient({
    schemes: [exactEvmClient({ signer: privateKeySigner(buyer.privateKey) })],
    budget: { total: '$1' },
    onEvent: (told) => {
      if (told.type === 'signing') onTerms(told.terms)
    },
  })
}

function onlyChain({ chains }: Dev): EvmChain {
  const [chain] = chains
  if (chain === undefined) throw new Error('the local world has no chain')
  return chain
}

async function balances(chain: EvmChain): Promise<{ buyer: bigint; seller: bigint }> {
  const [buyer, seller] = await Promise.all([chain.balanceOf(chain.buyer.address), chain.balanceOf(chain.seller.address)])
  return { buyer, seller }
}

function change(units: bigint): string {
  const text = formatAmount(units < 0n ? -units : units, { decimals: 6, symbol: 'USDC' })
  return units === 0n ? 'unchanged' : `${units < 0n ? '−' : '+'}${text}`
}

async function lastLine(response: Response): Promise<string> {
  const text = await response.text()
  const lines = text.trimEnd().split('\n')
  return `${lines.length} lines, ${text.length.toLocaleString('en')} bytes; the last is ${lines.at(-1)}`
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(2)} s`
}
