import { type ChildProcess, fork } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Outcome, Submission } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { startPostgres, type TestServer } from '@flow402x/testing/servers'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod/mini'
import { type RpcProxy, startRpcProxy } from '../fixtures/rpc-proxy.ts'

/** An RPC that lets a request of one method hang: before it reaches the chain, or with its answer. */
type Gate = RpcProxy & {
  hang: { readonly method: string; readonly at: 'request' | 'answer' } | undefined
  hung: number
}

async function openGate(target: string): Promise<Gate> {
  const forever = new Promise<never>(() => {})
  const proxy = await startRpcProxy(target, async (body, forward) => {
    const hangs = gate.hang !== undefined && body.includes(gate.hang.method) ? gate.hang.at : undefined
    const text = hangs === 'request' ? '' : await forward(body)
    if (hangs === undefined) return text
    gate.hung += 1
    return await forever
  })
  const gate: Gate = { ...proxy, hang: undefined, hung: 0 }
  return gate
}

const children: ChildProcess[] = []
const files: string[] = []
let chain: EvmChain
let gate: Gate
let postgres: TestServer

beforeAll(async () => {
  chain = await startEvmChain()
  gate = await openGate(chain.rpcUrl)
  postgres = await startPostgres()
})
afterEach(async () => {
  gate.hang = undefined
  await Promise.all(children.splice(0).map(kill))
  await Promise.all(files.splice(0).flatMap((file) => ['', '-wal', '-shm'].map((end) => rm(`${file}${end}`, { force: true }))))
})
afterAll(async () => {
  await gate.close()
  await chain.stop()
  await postgres.stop()
})

function newFile(): string {
  const file = join(tmpdir(), `facilitator-${randomUUID()}.db`)
  files.push(file)
  return file
}

async function startProcess(store: string): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  const [module, make] = store.startsWith('postgres:')
    ? ['@flow402x/store/postgres', 'postgresStore']
    : ['@flow402x/store/sqlite', 'sqliteStore']
  const program = {
    chain: { module: '@flow402x/adapters-evm/facilitator', make: 'evmChain' },
    scheme: { module: '@flow402x/adapters-evm/facilitator', make: 'exactEvmFacilitator' },
    store: { module, make, place: store },
    options: { network: chain.network, rpcUrl: gate.url, signers: [chain.facilitator.privateKey] },
  }
  const execArgv = ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')]
  const file = fileURLToPath(new URL('../fixtures/facilitator-process.ts', import.meta.url))
  const child = fork(file, [], { execArgv })
  children.push(child)
  child.send(program)
  const said = await new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`It ended with ${code}.`)))
  })
  return { child, url: z.object({ url: z.string() }).parse(said).url }
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  if (child.exitCode === null && child.signalCode === null && child.kill('SIGKILL')) await ended
}

const blockSchema = z.object({ transactions: z.array(z.looseObject({})) })
const pay = (amount: bigint, change: { readonly validBefore?: number } = {}): Promise<Submission> =>
  signExact(chain, exactRequirements(chain, amount), { payer: chain.buyer, ...change })
const income = (): Promise<bigint> => chain.balanceOf(chain.seller.address)
const mined = async (): Promise<number> =>
  Number(z.string().parse(await chain.rpc('eth_getTransactionCount', [chain.facilitator.address, 'latest'])))

const stores = [
  ['SQLite', newFile],
  ['PostgreSQL', () => postgres.url],
] as const

describe.each(stores)('a facilitator with its journal in %s', (_, place) => {
  it.each([
    ['between writing down and sending (K3)', { method: 'eth_sendRawTransaction', at: 'request' }, 0],
    ['between sending and the receipt (K4)', { method: 'eth_sendRawTransaction', at: 'answer' }, 1],
    ['before it has seen the receipt (K4)', { method: 'eth_getTransactionReceipt', at: 'request' }, 1],
  ] as const)('killed %s settles once after its restart, and the same claim hears of it', async (_, hang, sent) => {
    const store = place()
    const first = await startProcess(store)
    const submission = await pay(1000n)
    const claimId = randomUUID()
    const before = { income: await income(), mined: await mined() }
    gate.hung = 0
    gate.hang = hang
    const lost = httpFacilitator(first.url)
      .settle(submission, { claimId })
      .catch((error: unknown) => error)
    await expect.poll(() => gate.hung).toBe(1)
    await kill(first.child)
    await lost
    expect((await mined()) - before.mined).toBe(sent)
    gate.hang = undefined
    const second = await startProcess(store)
    const facilitator = httpFacilitator(second.url)
    const outcome = await facilitator.settle(submission, { claimId })
    expect(outcome).toMatchObject({ status: 'settled', payer: chain.buyer.address })
    expect(await facilitator.settle(submission, { claimId })).toEqual(outcome)
    expect(await facilitator.settle(submission, { claimId: randomUUID() })).toMatchObject({ reason: 'duplicate_settlement' })
    expect({ income: await income(), mined: await mined() }).toEqual({ income: before.income + 1000n, mined: before.mined + 1 })
  })

  it('killed before it sent uses its nonce for nothing once the payment has expired, and settles the next one', async () => {
    verifies('K3')
    const store = place()
    const first = await startProcess(store)
    const validBefore = Math.floor(Date.now() / 1000) + 10
    const expiring = await pay(1000n, { validBefore })
    const claimId = randomUUID()
    const before = { income: await income(), mined: await mined() }
    gate.hung = 0
    gate.hang = { method: 'eth_sendRawTransaction', at: 'request' }
    const lost = httpFacilitator(first.url)
      .settle(expiring, { claimId })
      .catch((error: unknown) => error)
    await expect.poll(() => gate.hung).toBe(1)
    await kill(first.child)
    await lost
    gate.hang = undefined
    await expect.poll(() => Date.now() / 1000).toBeGreaterThan(validBefore + 1)
    const second = await startProcess(store)
    const facilitator = httpFacilitator(second.url)
    const reason = 'invalid_exact_evm_payload_authorization_valid_before'
    expect(await facilitator.settle(expiring, { claimId })).toMatchObject({ status: 'notSettled', reason })
    expect({ income: await income(), mined: await mined() }).toEqual({ income: before.income, mined: before.mined + 1 })
    const { address } = chain.facilitator
    const { transactions } = blockSchema.parse(await chain.rpc('eth_getBlockByNumber', ['latest', true]))
    expect(transactions).toMatchObject([{ from: address.toLowerCase(), to: address.toLowerCase(), input: '0x', value: '0x0' }])
    expect(await facilitator.settle(await pay(1000n), { claimId: randomUUID() })).toMatchObject({ status: 'settled' })
    expect({ income: await income(), mined: await mined() }).toEqual({ income: before.income + 1000n, mined: before.mined + 2 })
  })

  it('is one facilitator in two processes with one signer: 60 payments, each mined once, no gap', async () => {
    const store = place()
    const both = await Promise.all([startProcess(store), startProcess(store)])
    const facilitators = both.map(({ url }) => httpFacilitator(url))
    const before = await income()
    const payments = await Promise.all(Array.from({ length: 60 }, (_, index) => pay(BigInt(100 + index))))
    const outcomes: (Outcome | undefined)[] = await Promise.all(
      payments.map((payment, index) => facilitators[index % 2]?.settle(payment, { claimId: randomUUID() })),
    )
    expect(outcomes.filter((outcome) => outcome?.status !== 'settled')).toEqual([])
    expect((await income()) - before).toBe(payments.reduce((sum, { requirements }) => sum + BigInt(requirements.amount), 0n))
    const pending = await chain.rpc('eth_getTransactionCount', [chain.facilitator.address, 'pending'])
    expect(pending).toBe(await chain.rpc('eth_getTransactionCount', [chain.facilitator.address, 'latest']))
  })
})
