import { fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { transferProofEvmServer } from '@flow402x/adapters-evm/server'
import { secretKeySender, transferProofSolanaClient } from '@flow402x/adapters-solana/client'
import { transferProofSolanaServer } from '@flow402x/adapters-solana/server'
import { assetId, assetOf, type ServerScheme } from '@flow402x/core'
import { createServer } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { paid as paidNode } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, type SolanaChain, startEvmChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { receiptOf } from '../http/receipt.ts'
import { createClient } from './client.ts'

let evm: EvmChain
let solana: SolanaChain
beforeAll(async () => {
  ;[evm, solana] = await Promise.all([startEvmChain(), startSolanaChain({ slotTime: 20 })])
})
afterAll(() => Promise.all([evm?.stop(), solana?.stop()]))

const secret = 'the secret of a shop that takes transfers'
const ether = () => assetId(assetOf(evm.network, 'ETH'))
const capped = (id: string) => ({ caps: { [id]: { perPayment: '1', total: '1' } } })

function etherShop(): ServerScheme {
  const { network, rpcUrl, seller } = evm
  return transferProofEvmServer({ network, rpcUrl, payTo: seller.address, secret, confirmations: 0n })
}

function etherClient() {
  const { network, rpcUrl, buyer } = evm
  return transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [buyer.privateKey] }), pollMs: 20 })
}

function solClient(plain = false) {
  return transferProofSolanaClient({ signer: secretKeySender(solana.buyer.privateKey), rpcUrl: solana.rpcUrl, pollMs: 20, plain })
}

/** What fetches from a shop in this process. */
function shopFetch(scheme: ServerScheme, price: string): typeof fetch {
  const server = createServer({ schemes: [scheme], store: memoryStore(), origin: 'http://localhost' })
  const charge = paid(server, { price }, async () => new Response('goods'))
  return (input, init) => charge(new Request(input, init))
}

describe('a client that transfers by itself', () => {
  it('pays what is asked in the coin of a chain, within its budget, and keeps a receipt', async () => {
    verifies(['M24', 'H7'])
    const client = createClient({
      schemes: [etherClient()],
      store: memoryStore(),
      budget: capped(ether()),
      fetch: shopFetch(etherShop(), '0.4 ETH'),
    })
    const before = await evm.ethBalance(evm.seller.address)
    const response = await client.fetch('http://localhost/x')
    expect([response.status, await response.text()]).toEqual([200, 'goods'])
    expect(receiptOf(response)).toMatchObject({ success: true, transaction: expect.stringMatching(/^0x/) })
    await client.fetch('http://localhost/x')
    expect((await evm.ethBalance(evm.seller.address)) - before).toBe(8n * 10n ** 17n)
    await expect(client.fetch('http://localhost/x')).rejects.toMatchObject({ code: 'client/over-budget', moneyMoved: 'no' })
    expect((await evm.ethBalance(evm.seller.address)) - before).toBe(8n * 10n ** 17n)
  })

  it('is an error without a store, in which what was sent outlives the process', () => {
    verifies('M24')
    expect(() => createClient({ schemes: [etherClient()] })).toThrow(expect.objectContaining({ code: 'client/bad-option' }))
  })

  it('asks its chain before it signs: nothing is written down that could not be mined', async () => {
    const fetch = shopFetch(etherShop(), '20000 ETH')
    const budget = { caps: { [ether()]: { perPayment: '100000', total: '100000' } } }
    const client = createClient({ schemes: [etherClient()], store: memoryStore(), budget, fetch })
    await expect(client.fetch('http://localhost/x')).rejects.toMatchObject({ moneyMoved: 'no' })
    expect(await client.spent()).toMatchObject({ total: { reserved: '$0' } })
  })
})

describe('the plain challenge (DESIGN §8.3)', () => {
  const sol = () => assetId(assetOf(solana.network, 'SOL'))
  const buyer = (fetch: typeof globalThis.fetch, plain = true) =>
    createClient({ schemes: [solClient(plain)], store: memoryStore(), budget: capped(sol()), fetch })

  it('is answered by the two headers alone, where a seller asks nothing else', async () => {
    verifies('PLAIN-CHALLENGE')
    const shop = shopFetch(transferProofSolanaServer({ rpcUrl: solana.rpcUrl, payTo: solana.seller.address, secret }), '0.01 SOL')
    const sent: string[][] = []
    const plainOnly: typeof fetch = async (input, init) => {
      sent.push([...new Headers(init?.headers).keys()].filter((name) => name.includes('payment')).sort())
      const response = await shop(input, init)
      const { receiver, amount_lamports, reference } = JSON.parse(response.status === 402 ? await response.clone().text() : '{}')
      return response.status === 402 ? Response.json({ receiver, amount_lamports, reference }, { status: 402 }) : response
    }
    const before = await solana.solBalance(solana.seller.address)
    const response = await buyer(plainOnly).fetch('http://localhost/premium')
    expect([response.status, await response.text()]).toEqual([200, 'goods'])
    expect(sent).toEqual([[], ['x-payment-reference', 'x-payment-signature']])
    expect((await solana.solBalance(solana.seller.address)) - before).toBe(10_000_000n)
  })

  it('of a seller of another make is paid once, however its reference is written', async () => {
    verifies('PLAIN-CHALLENGE')
    const receiver = solana.seller.address
    const before = await solana.solBalance(receiver)
    const seen: (string | null)[] = []
    const seller: typeof fetch = async (_, init) => {
      const headers = new Headers(init?.headers)
      const signature = headers.get('X-Payment-Signature')
      seen.push(signature)
      if (signature === null) return Response.json({ receiver, amount_lamports: 5000000, reference: 'order-42' }, { status: 402 })
      const isPaid = (await solana.solBalance(receiver)) - before === 5_000_000n && headers.get('X-Payment-Reference') === 'order-42'
      // The first look of many a server comes too early.
      if (seen.length === 2) return Response.json({ error: 'unconfirmed' }, { status: 400, headers: { 'Retry-After': '0' } })
      return new Response(isPaid ? 'goods' : 'nothing', { status: isPaid ? 200 : 400 })
    }
    const response = await buyer(seller).fetch('http://localhost/premium')
    expect([response.status, await response.text(), new Set(seen.slice(1)).size]).toEqual([200, 'goods', 1])
    expect((await solana.solBalance(receiver)) - before).toBe(5_000_000n)
  })

  it('is paid by nobody who was not told to, nor past the budget', async () => {
    verifies('PLAIN-CHALLENGE')
    const asking =
      (amount_lamports: number): typeof fetch =>
      async () =>
        Response.json({ receiver: solana.seller.address, amount_lamports, reference: 'order-43' }, { status: 402 })
    expect((await buyer(asking(1000), false).fetch('http://localhost/x')).status).toBe(402)
    await expect(buyer(asking(2_000_000_000)).fetch('http://localhost/x')).rejects.toMatchObject({ code: 'client/no-payable-offer' })
  })
})

describe('killed while it transfers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'flow402x-transfers-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  it.each(['before the broadcast', 'after the broadcast', 'before it is shown', 'after it was shown'])(
    '%s: the same bytes are sent again, and paid for once',
    async (dieAt) => {
      verifies(['M24', 'H2'])
      const server = createServer({ schemes: [etherShop()], store: memoryStore() })
      const handler = paidNode(server, { price: '0.01 ETH' }, (_, response) => void response.end('goods'))
      const http = createHttpServer(handler)
      await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
      // A server that listens on a port has an AddressInfo.
      const { port } = http.address() as AddressInfo
      const place = join(folder, `${dieAt.replaceAll(' ', '-')}.db`)
      const before = await evm.ethBalance(evm.seller.address)
      const call = (step: string) => buyIn({ place, url: `http://127.0.0.1:${port}/x`, dieAt: step })
      expect(await call(dieAt)).toBe('killed')
      const outcome = await call('never')
      expect((await evm.ethBalance(evm.seller.address)) - before).toBe(10n ** 16n)
      // What had left before the kill is delivered, and no second transfer is made for it.
      expect(outcome).toMatch(dieAt === 'after it was shown' ? /^402 / : /^200 goods$/)
      await new Promise((resolve) => http.close(resolve))
    },
  )

  /** One call in a process of its own: what it said, or that it was killed. */
  function buyIn(told: { readonly place: string; readonly url: string; readonly dieAt: string }): Promise<string> {
    const execArgv = ['--conditions=@flow402x/source', '--import', createRequire(import.meta.url).resolve('tsx')]
    const child = fork(fileURLToPath(new URL('../fixtures/transfer-process.ts', import.meta.url)), [], { execArgv })
    const modules = {
      store: import.meta.resolve('@flow402x/store/sqlite'),
      client: import.meta.resolve('@flow402x/adapters-evm/client'),
      chain: import.meta.resolve('@flow402x/adapters-evm/facilitator'),
    }
    const { network, rpcUrl, buyer } = evm
    child.send({ modules, network, rpcUrl, key: buyer.privateKey, asset: ether(), callId: 'one purchase', ...told })
    return new Promise((resolve) => {
      child.once('message', (result) => {
        resolve(String(result))
        child.kill('SIGKILL')
      })
      child.once('exit', () => resolve('killed'))
    })
  }
})
