import { once as event } from 'node:events'
import { exactEvmClient, privateKeySigner, uptoEvmClient } from '@flow402x/adapters-evm/client'
import { exactSolanaClient, secretKeySender } from '@flow402x/adapters-solana/client'
import { type Client, createClient, receiptOf, type Terms } from '@flow402x/client'
import { type ClientScheme, formatAmount, formatNetwork, toProblem, X402Error } from '@flow402x/core'
import { type Dev, startDev } from 'flow402x'
import { buyInTheBazaar } from './market.ts'
import { watchByTheSecond } from './stream.ts'
import { gasOf, payThousandCalls } from './thousand-calls.ts'
import { answerPlainChallenge, payInEther } from './transfers.ts'

/** How the story is told: `once` ends after it, otherwise the world stays up until `signal`. */
export type StoryOptions = { readonly once: boolean; readonly signal: AbortSignal; readonly say: (line: string) => void }

/** One purchase of the story. */
type Scene = {
  readonly title: string
  readonly path: string
  readonly init?: RequestInit
  /** What is shown of the answer. */
  readonly show: (response: Response) => Promise<string>
  /** What must have been paid for what is shown, in atomic units, where the price is a ceiling. */
  readonly used?: (shown: string) => bigint
}

/** Who buys where: the chain that is looked at, and the one line in which a buyer on one chain differs from a buyer on another. */
type Stage = {
  readonly scheme: ClientScheme
  readonly line: string
  /** In atomic units of USDC. */
  readonly balances: () => Promise<{ readonly buyer: bigint; readonly seller: bigint }>
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

const tokens: Scene = {
  title: 'LLM tokens, upto',
  path: '/ai/tokens',
  init: {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a lighthouse keeper, a silver whistle, the harbour, a storm' }),
  },
  show: async (response) => shortened(await response.text()),
  // A token costs $0.0001.
  used: (shown) => BigInt(/"tokens":(\d+)/.exec(shown)?.[1] ?? 0) * 100n,
}

/** Starts a local world and pays each of its routes, printing every receipt. Gives the exit code. */
export async function tellStory({ once, signal, say }: StoryOptions): Promise<number> {
  const started = performance.now()
  say('Flow402x demo: an EVM chain with the real USDC contract, a Solana, a facilitator, a seller and a buyer, all on this machine.\n')
  const dev = await startDev({ signal, onProgress: (step) => say(`  ✓ ${step}`) })
  try {
    say(`  ready in ${seconds(started)}\n`)
    const { evm, metered, solana } = stagesOf(dev)
    for (const [index, scene] of scenes.entries()) await play(dev, { stage: evm, scene, title: `${index + 1}. ${scene.title}`, say })
    await play(dev, { stage: metered, scene: tokens, title: `${scenes.length + 1}. ${tokens.title}`, say })
    await refuse(dev, { stage: evm, say })
    await thousand(dev, say)
    say('7. The same routes on Solana: one line of the buyer is another')
    say(`  -  ${evm.line}\n  +  ${solana.line}\n`)
    for (const scene of scenes) await play(dev, { stage: solana, scene, title: scene.title, say })
    await payInEther(dev, { title: '8. ETH-priced route', say })
    await answerPlainChallenge(dev, { title: '9. Solana plain challenge', say })
    await buyInTheBazaar(dev, { title: '10. An agent in the bazaar', say })
    await watchByTheSecond(dev, { title: '11. A stream, by the second', say })
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

type Say = { readonly stage: Stage; readonly say: (line: string) => void }

async function play(dev: Dev, { stage, scene, title, say }: Say & { readonly scene: Scene; readonly title: string }): Promise<void> {
  const told: { terms?: Terms } = {}
  const client = buyerOf(stage, (terms) => {
    told.terms = terms
    say(
      `  402    asks ${scene.used === undefined ? '' : 'up to '}${terms.price} on ${formatNetwork(terms.asset.network)} (${terms.requirements.scheme})`,
    )
  })
  say(`${title}: ${scene.init?.method ?? 'GET'} ${scene.path}`)
  const before = await stage.balances()
  const started = performance.now()
  const response = await client.fetch(`${dev.world.seller.url}${scene.path}`, scene.init)
  const shown = await scene.show(response)
  const receipt = receiptOf(response)
  const after = await stage.balances()
  say(`  ${response.status}    ${shown}`)
  const price = told.terms?.amount ?? 0n
  const due = scene.used?.(shown) ?? price
  say(`  paid   ${formatAmount(due, usdc)} in transaction ${receipt?.transaction ?? 'none'} (${seconds(started)})`)
  say(`  chain  buyer ${change(after.buyer - before.buyer)}, seller ${change(after.seller - before.seller)}\n`)
  const isRight = due > 0n && due <= price && receipt?.amount === `${due}`
  if (!isRight || after.buyer - before.buyer !== -due || after.seller - before.seller !== due) {
    throw new Error(`the books do not agree with the chain for ${scene.path}`)
  }
}

/** What one call costs that is settled by itself is asked first, from the chain. */
async function thousand({ chains: [chain], world }: Dev, say: (line: string) => void): Promise<void> {
  if (chain === undefined) throw new Error('the local world lacks a chain')
  say('6. 1,000 calls over one channel: a deposit, vouchers that cost no gas, and a claim of them all')
  const single = createClient({ schemes: [exactEvmClient({ signer: privateKeySigner(chain.buyer.privateKey) })] })
  const receipt = receiptOf(await single.fetch(`${world.seller.url}/weather?place=Oslo`))
  await payThousandCalls({ chain, gasOfOne: await gasOf(chain, receipt?.transaction ?? ''), say })
}

async function refuse(dev: Dev, { stage, say }: Say): Promise<void> {
  say('5. A buyer with a limit of $0.01: GET /primes.csv')
  const before = await stage.balances()
  const careful = createClient({ schemes: [stage.scheme], budget: { perPayment: '$0.01' } })
  const refusal = await careful.fetch(`${dev.world.seller.url}/primes.csv`).then(
    () => 'paid, although it must not',
    (error: unknown) => (error instanceof X402Error ? error.message : String(error)),
  )
  const after = await stage.balances()
  say(`  ${refusal}`)
  say(`  chain  buyer ${change(after.buyer - before.buyer)}\n`)
  if (after.buyer !== before.buyer) throw new Error('money moved past the limit')
}

function buyerOf({ scheme }: Stage, onTerms: (terms: Terms) => void): Client {
  return createClient({
    schemes: [scheme],
    budget: { total: '$1' },
    onEvent: (told) => {
      if (told.type === 'signing') onTerms(told.terms)
    },
  })
}

function stagesOf({ chains: [chain], solana }: Dev): { readonly evm: Stage; readonly metered: Stage; readonly solana: Stage } {
  if (chain === undefined || solana === undefined) throw new Error('the local world lacks a chain')
  const balances = async (buyer: Promise<bigint>, seller: Promise<bigint>) => ({ buyer: await buyer, seller: await seller })
  const signer = privateKeySigner(chain.buyer.privateKey)
  const evm: Stage = {
    scheme: exactEvmClient({ signer }),
    line: 'schemes: [exactEvmClient({ signer: privateKeySigner(key) })],',
    balances: () => balances(chain.balanceOf(chain.buyer.address), chain.balanceOf(chain.seller.address)),
  }
  return {
    evm,
    // The buyer has approved nothing: with a node to ask he signs a permit that goes along.
    metered: { ...evm, scheme: uptoEvmClient({ signer, rpcUrls: { [chain.network]: chain.rpcUrl } }) },
    solana: {
      scheme: exactSolanaClient({ signer: secretKeySender(solana.buyer.privateKey) }),
      line: 'schemes: [exactSolanaClient({ signer: secretKeySender(key) })],',
      balances: () => balances(solana.balanceOf(solana.buyer.address), solana.balanceOf(solana.seller.address)),
    },
  }
}

const usdc = { decimals: 6, symbol: 'USDC' }

function shortened(text: string): string {
  return text.length > 160 ? `${text.slice(0, 160)}…` : text
}

function change(units: bigint): string {
  const text = formatAmount(units < 0n ? -units : units, usdc)
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
