import { mkdtemp, rm } from 'node:fs/promises'
import { createServer as createHttp, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { batchSettlementFacilitator, evmChain } from '@flow402x/adapters-evm/facilitator'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import { createFacilitator } from '@flow402x/facilitator'
import { createServer, type Server } from '@flow402x/server'
import { paid } from '@flow402x/server/node'
import { memoryStore } from '@flow402x/store/memory'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from './run.ts'

let chain: EvmChain
let folder: string
let server: Server
let http: HttpServer
let url: string
beforeAll(async () => {
  chain = await startEvmChain()
  folder = await mkdtemp(join(tmpdir(), 'flow402x-channels-'))
  const { network, rpcUrl } = chain
  const writer = evmChain({ network, rpcUrl, signers: [chain.facilitator.privateKey] })
  const facilitator = createFacilitator({ schemes: [batchSettlementFacilitator({ chain: writer })] })
  const store = memoryStore()
  const authorizer = privateKeySigner(chain.seller.privateKey)
  const scheme = batchSettlementServer({ network, payTo: chain.seller.address, rpcUrl, store, authorizer })
  server = createServer({ facilitator, store, schemes: [scheme], claimChannels: false })
  await server.start()
  const listener = paid(server, { price: '$0.01' }, (_, response) => response.end('goods'))
  http = createHttp((request, response) => void listener(request, response))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/goods?for=me`
})
afterAll(async () => {
  http?.closeAllConnections()
  http?.close()
  await chain?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** Runs the command as one wallet, in one file. */
function wallet(account: number, { sees = true } = {}) {
  const who = chain.accounts[account] ?? chain.buyer
  const env: Record<string, string> = {
    FLOW402X_EVM_PRIVATE_KEY: who.privateKey,
    FLOW402X_WALLET_FILE: join(folder, `${account}`, 'wallet.db'),
    ...(sees ? { FLOW402X_RPC_URL_EIP155_84532: chain.rpcUrl } : {}),
  }
  const run = async (...args: readonly string[]) => {
    const [out, notes]: [string[], string[]] = [[], []]
    const code = await runCommand(args, {
      out: (chunk) => out.push(Buffer.from(chunk).toString()),
      note: (line) => notes.push(line),
      env,
      stdin: (async function* () {})(),
      signal: new AbortController().signal,
    })
    return { code, out: out.join(''), notes: notes.join('\n') }
  }
  const listed = async () => JSON.parse((await run('channels', 'list', '--json')).out).channels
  return { who, run, listed }
}

const spent = async (address: `0x${string}`, before: bigint) => before - (await chain.balanceOf(address))

describe('flow402x channels', () => {
  it('keeps what pay opened, says what a call drew, and holds the books against the chain', async () => {
    verifies(['M20', 'H15'])
    const { run, listed, who } = wallet(3)
    expect(await run('channels', 'list')).toMatchObject({ code: 0, out: 'There are no channels in these books.\n' })
    const first = await run('pay', url)
    expect(first).toMatchObject({ code: 0, out: 'goods' })
    expect(first.notes).toMatch(/fill channel 0x[0-9a-f]{8}… has 0\.1 USDC more, by transaction 0x[0-9a-f]{64}/)
    expect(first.notes).toMatch(/drew 0\.01 USDC from channel 0x[0-9a-f]{8}…, which has 0\.09 USDC left/)
    const second = JSON.parse((await run('pay', url, '--json')).out)
    expect(second).toMatchObject({ status: 200, body: 'goods', channel: [{ type: 'drew', amount: '10000', left: '80000' }] })
    expect(await listed()).toEqual([
      {
        id: expect.stringMatching(/^0x[0-9a-f]{64}$/),
        network: chain.network,
        receiver: chain.seller.address,
        token: chain.usdc.address,
        asked: `GET ${url.split('?')[0]}`,
        books: { balance: '100000', charged: '20000', signed: '20000', left: '80000', depositing: '0' },
        chain: { balance: '100000', claimed: '0', withdrawing: '0' },
      },
    ])
    const text = await run('channels', 'list')
    expect(text.out).toContain('books  0.08 USDC left of 0.1 USDC, 0.02 USDC charged')
    expect(text.out).toContain('chain  0.1 USDC deposited, 0 USDC claimed by the seller')
    expect(await spent(who.address, 1_000_000_000n)).toBe(100_000n)
  })

  it('puts more in, by the payer’s own transaction, within the cap', async () => {
    verifies('M20')
    const { run, listed } = wallet(4)
    await run('pay', url)
    const [{ id }] = await listed()
    expect(await run('channels', 'top-up', id.slice(0, 12), '0.5')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^deposited 0\.5 USDC in 0x[0-9a-f]{64}\n$/),
    })
    expect((await listed())[0]).toMatchObject({ books: { left: '590000' }, chain: { balance: '600000' } })
    const much = await run('channels', 'top-up', id, '100', '--json')
    const detail = expect.stringContaining(
      'needs 100 USDC more in it, and the caps ($5 with one seller, $25 with all) leave room for 4.41 USDC.',
    )
    expect([much.code, JSON.parse(much.out)]).toMatchObject([1, { error: { code: 'evm/deposit-cap', moneyMoved: 'no', detail } }])
    expect((await listed())[0]).toMatchObject({ books: { depositing: '0' }, chain: { balance: '600000' } })
    const wide = JSON.parse((await run('channels', 'top-up', id, '6', '--max-deposit', '10', '--json')).out)
    expect(wide).toMatchObject({ channel: id, amount: '6000000' })
  })

  it('closes with the seller, who gives the rest back', async () => {
    verifies('CHANNEL-EXIT')
    const { run, listed, who } = wallet(5)
    await run('pay', url)
    const [{ id }] = await listed()
    const closed = await run('channels', 'close', id)
    expect(closed.code).toBe(0)
    expect(closed.out).toMatch(/^closed: 0\.09 USDC came back in 0x[0-9a-f]{64}\n$/)
    expect(await spent(who.address, 1_000_000_000n)).toBe(10_000n)
    expect((await listed())[0]).toMatchObject({ books: { left: '0', balance: '10000', charged: '10000' }, chain: { claimed: '10000' } })
  })

  it('says what is missing or wrong, and moves nothing', async () => {
    const { run, listed } = wallet(7, { sees: false })
    expect(await run('pay', url)).toMatchObject({ code: 0 })
    const [{ id, chain: unseen }] = await listed()
    expect(unseen).toBeUndefined()
    expect((await run('channels', 'list')).out).toContain('chain  not asked: set FLOW402X_RPC_URL_EIP155_84532')
    const refused: readonly (readonly [readonly string[], number, string])[] = [
      [['sell'], 2, 'cli/usage'],
      [[], 2, 'Say what "channels" is to do.'],
      [['top-up', id], 2, 'cli/usage'],
      [['top-up', id, 'much'], 2, 'cli/usage'],
      [['top-up', id, '1'], 1, 'cli/no-rpc'],
      [['close', '0xffff'], 1, 'cli/no-such-channel'],
      [['close', id, '--alone'], 1, 'cli/no-rpc'],
    ]
    for (const [args, code, error] of refused) {
      expect(await run('channels', ...args)).toMatchObject({ code, notes: expect.stringContaining(error) })
    }
    const noFile = await runCommand(['channels', 'list', '--json'], {
      out: (chunk) => expect(String(chunk)).toContain('cli/no-wallet-file'),
      note: () => {},
      env: { FLOW402X_EVM_PRIVATE_KEY: chain.buyer.privateKey },
      stdin: (async function* () {})(),
      signal: new AbortController().signal,
    })
    expect(noFile).toBe(1)
  })

  // Last: time on the chain goes on afterwards, and the seller's clock does not.
  it('closes without the seller: announced, waited for, taken out', async () => {
    verifies('CHANNEL-EXIT')
    const { run, listed, who } = wallet(6)
    await run('pay', url)
    const [{ id }] = await listed()
    await server.collect()
    const elsewhere = await run('channels', 'close', id, '--url', 'http://127.0.0.1:9/gone')
    expect(elsewhere.notes).toContain('could not be asked')
    // What its seller claims meanwhile is not among it.
    expect((await run('channels', 'list')).out).toContain('chain  0.09 USDC can be taken out after ')
    expect(elsewhere.out).toMatch(/^withdrawal of 0\.09 USDC started in 0x[0-9a-f]{64}: run "flow402x channels withdraw" after /)
    expect((await listed())[0].chain).toMatchObject({ withdrawing: '90000', withdrawableAt: expect.any(Number) })
    // Nothing more is paid, or deposited, over a channel that is being left.
    expect(await run('pay', url)).toMatchObject({ code: 1, notes: expect.stringContaining('evm/channel-closing') })
    const early = await run('channels', 'withdraw')
    expect([early.code, early.notes]).toEqual([0, expect.stringContaining('its receiver has until')])
    expect((await run('channels', 'withdraw', id, '--json')).out).toContain('evm/not-withdrawable')
    await chain.rpc('evm_increaseTime', [901])
    await chain.mine()
    expect((await run('channels', 'withdraw')).out).toMatch(/^withdrew 0\.09 USDC from channel 0x[0-9a-f]{64} in 0x[0-9a-f]{64}\n$/)
    expect(await spent(who.address, 1_000_000_000n)).toBe(10_000n)
    expect(await run('channels', 'withdraw')).toMatchObject({ code: 0, out: 'Nothing is being withdrawn.\n' })
  })
})
