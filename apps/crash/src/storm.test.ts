import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Outcome, Submission } from '@flow402x/core'
import { httpFacilitator } from '@flow402x/server'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { exactRequirements, signExact } from '@flow402x/testing/suites'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { evmRail } from './world/rail.ts'
import { startWorld, type World } from './world/world.ts'

let chain: EvmChain
let world: World
let rpc: { readonly url: string; readonly faults: () => number; readonly sends: () => number; close(): void }
beforeAll(async () => {
  chain = await startEvmChain()
  rpc = await openProxy(chain.rpcUrl)
  world = await startWorld({ rail: evmRail(chain), rpcUrl: rpc.url })
})
afterAll(async () => {
  await world?.stop()
  rpc?.close()
  await chain?.stop()
})

/** An RPC of which every tenth send fails: with an error or a broken connection, before it arrived or after. */
async function openProxy(target: string): Promise<typeof rpc> {
  let [sends, faults] = [0, 0]
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    if (body.includes('eth_sendRawTransaction')) sends += 1
    const fails = body.includes('eth_sendRawTransaction') && sends % 10 === 3
    if (fails) faults += 1
    const answer = async () => (await fetch(target, { method: 'POST', headers: { 'content-type': 'application/json' }, body })).text()
    const text = fails && faults % 2 === 0 ? '' : await answer().catch(() => undefined)
    if (text === undefined || (fails && faults % 4 < 2)) return outgoing.destroy()
    const error = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32603, message: 'internal error' } })
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(fails ? error : text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A listening server has an address with a port.
  const { port } = server.address() as AddressInfo
  const close = (): void => {
    server.closeAllConnections()
    server.close()
  }
  return { url: `http://127.0.0.1:${port}`, faults: () => faults, sends: () => sends, close }
}

it('200 payments at once over a failing RPC, the facilitator killed among them: each is mined once, without a gap and without a wedge', async () => {
  verifies(['H9', 'K3', 'K4', 'M17'])
  const pay = (index: number): Promise<Submission> =>
    signExact(chain, exactRequirements(chain, BigInt(100 + index)), { payer: chain.buyer })
  const payments = await Promise.all(Array.from({ length: 200 }, (_, index) => pay(index)))
  const before = await chain.balanceOf(chain.seller.address)
  const facilitator = httpFacilitator(world.facilitator.url)
  const settled = async (payment: Submission, index: number): Promise<Outcome> => {
    for (;;) {
      const outcome = await facilitator.settle(payment, { claimId: `claim-${index}` }).catch(() => undefined)
      if (outcome !== undefined && outcome.status !== 'pending') return outcome
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  const all = Promise.all(payments.map(settled))
  await expect.poll(rpc.sends, { timeout: 30_000 }).toBeGreaterThan(2)
  await world.facilitator.kill()
  await world.facilitator.restart()
  const outcomes = await all
  expect(outcomes.filter(({ status }) => status !== 'settled')).toEqual([])
  const owed = payments.reduce((sum, { requirements }) => sum + BigInt(requirements.amount), 0n)
  expect((await chain.balanceOf(chain.seller.address)) - before).toBe(owed)
  expect(rpc.faults()).toBeGreaterThan(0)
  expect(await world.rail.hasGap(world.signer)).toBe(false)
}, 120_000)
