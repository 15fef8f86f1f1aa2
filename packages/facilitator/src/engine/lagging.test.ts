import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Outcome, Submission } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { type RpcProxy, startRpcProxy } from '../fixtures/rpc-proxy.ts'
import type { FacilitatorEvent } from './events.ts'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

// Nodes behind a balancer: whoever is asked may be one block behind.

const asked = z.looseObject({ id: z.unknown(), method: z.string(), params: z.optional(z.array(z.unknown())) })
type Asked = z.infer<typeof asked>
const answered = z.looseObject({ result: z.unknown() })
const inBlock = z.looseObject({ blockNumber: z.string() })
const stateReads = ['eth_getTransactionCount', 'eth_getBalance', 'eth_call', 'eth_estimateGas']
const tags = ['latest', 'pending', 'safe', 'finalized']

let chain: EvmChain
let proxy: RpcProxy
let facilitator: LocalFacilitator
let events: FacilitatorEvent[]
let mining: NodeJS.Timeout
let isLate: (read: number) => boolean
let [reads, late] = [0, 0]

beforeAll(async () => {
  chain = await startEvmChain()
  proxy = await startRpcProxy(chain.rpcUrl, async (body, forward) => {
    const parsed: unknown = JSON.parse(body)
    const requests = z.array(asked).parse(Array.isArray(parsed) ? parsed : [parsed])
    const answers = await Promise.all(requests.map((request) => answer(request, forward)))
    return JSON.stringify(Array.isArray(parsed) ? answers : answers[0])
  })
  const signers = [chain.facilitator, ...chain.accounts.slice(-1)].map(({ privateKey }) => privateKey)
  const writer = evmChain({ network: chain.network, rpcUrl: proxy.url, signers, confirmations: 1n })
  events = []
  facilitator = createFacilitator({
    schemes: [exactEvmFacilitator({ chain: writer })],
    confirmTimeout: 20_000,
    finality: 100,
    onEvent: (event) => events.push(event),
  })
  isLate = () => false
  await facilitator.start()
  // The last may be under way while its chain stops.
  mining = setInterval(() => void chain.mine().catch(() => {}), 600)
})
afterAll(async () => {
  clearInterval(mining)
  await facilitator.close()
  await proxy.close()
  await chain.stop()
})

/** One request to a node that is up to date or, when its turn comes, one block late. */
async function answer(request: Asked, forward: (body: string) => Promise<string>): Promise<unknown> {
  const ask = async (one: object): Promise<z.infer<typeof answered>> => answered.parse(JSON.parse(await forward(JSON.stringify(one))))
  const { method, params = [] } = request
  const isRead = method !== 'eth_sendRawTransaction' && method !== 'eth_chainId'
  if (isRead) reads += 1
  if (!isRead || !isLate(reads)) return ask(request)
  const { result } = await ask({ jsonrpc: '2.0', id: 1, method: 'eth_blockNumber', params: [] })
  const known = BigInt(z.string().parse(result)) - 1n
  const block = `0x${known.toString(16)}`
  late += 1
  if (method === 'eth_blockNumber') return { jsonrpc: '2.0', id: request.id, result: block }
  if (method === 'eth_getTransactionReceipt' || method === 'eth_getTransactionByHash') {
    const seen = await ask(request)
    const found = inBlock.safeParse(seen.result)
    return found.success && BigInt(found.data.blockNumber) > known ? { ...seen, result: null } : seen
  }
  if (method === 'eth_getLogs') return ask(request)
  const tagged = params.map((param) => (typeof param === 'string' && tags.includes(param) ? block : param))
  // Where nothing is said the newest state is meant, which is the second parameter of every read of a state.
  const whole = stateReads.includes(method) && tagged.length === 1 ? [...tagged, block] : tagged
  return ask({ ...request, params: whole })
}

const payments = (count: number): Promise<Submission[]> =>
  Promise.all(Array.from({ length: count }, () => signExact(chain, exactRequirements(chain, 10n), { payer: chain.buyer })))

/** How many transactions the facilitator's signers have on chain. */
async function transactions(): Promise<number> {
  const { signers } = await facilitator.supported()
  const counts = (signers?.['eip155:*'] ?? []).map(async (signer) => Number(await chain.rpc('eth_getTransactionCount', [signer, 'latest'])))
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
}

describe.each([
  ['one answer in three is one block late', (read: number) => read % 3 === 0],
  ['every answer is one block late', () => true],
])('where %s', (_, behind) => {
  it('payments one after the other and at once are settled, each by one transfer, and none is sent twice', async () => {
    verifies('H30')
    isLate = behind
    const [before, sent, lateBefore] = [await chain.balanceOf(chain.seller.address), await transactions(), late]
    const outcomes: Outcome[] = []
    for (const submission of await payments(4)) outcomes.push(await facilitator.settle(submission, { claimId: crypto.randomUUID() }))
    const many = (await payments(24)).map((submission) => facilitator.settle(submission, { claimId: crypto.randomUUID() }))
    outcomes.push(...(await Promise.all(many)))
    expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
    expect((await chain.balanceOf(chain.seller.address)) - before).toBe(280n)
    expect((await transactions()) - sent).toBe(new Set(outcomes.map(({ transaction }) => transaction)).size)
    const doubts = ['foreign', 'undone', 'replaced', 'reorganised']
    expect(events.filter(({ type }) => doubts.includes(type))).toEqual([])
    expect(late - lateBefore).toBeGreaterThan(3)
  })
})
