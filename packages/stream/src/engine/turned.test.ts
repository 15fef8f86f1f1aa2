import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { batchSettlementServer } from '@flow402x/adapters-evm/server'
import type { PaymentPayload } from '@flow402x/core'
import { sqliteStore } from '@flow402x/store/sqlite'
import { escrowFacilitator } from '@flow402x/testing/contracts'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test, vi } from 'vitest'
import { useGround } from '../fixtures/ground.ts'
import { slowTokens } from '../fixtures/tokens.ts'

const ground = useGround(escrowFacilitator)

const token = 10n
const rate = { rate: '0.00001 USD/token', buy: 1, window: 40, windowMax: 40, tick: 20 }

/** The same signature with the other v, which recovers another key. */
function turned(payment: PaymentPayload): PaymentPayload {
  const { voucher } = Object(payment.payload)
  const signature = `${voucher.signature.slice(0, -2)}${voucher.signature.endsWith('1b') ? '1c' : '1b'}`
  return { ...payment, payload: { ...payment.payload, voucher: { ...voucher, signature } } }
}

test.each(['A', 'B'] as const)('what ticks of grade %s brought is claimed by another process, whatever v they had', async (grade) => {
  verifies(['M26', 'F10'])
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-'))
  ground.closing(() => rm(folder, { recursive: true }))
  const path = join(folder, 'books.sqlite')
  const store = await sqliteStore(path)
  const shop = await ground.open({ rate, source: slowTokens, store, streams: { ticksPerSecond: 1000 } })
  const payer = await shop.newPayer(1000n * token)
  // A key that was not seen yet is recovered, and its v is looked at.
  expect((await shop.open(turned(await payer.voucher(token)), grade)).status).toBe(402)
  const reading = await shop.open(payer.voucher(token), grade)
  const tick = async (payment: PaymentPayload): Promise<number> =>
    (await (grade === 'A' ? shop.buy(reading.sid, payment) : shop.slide(reading.sid, payment))).status
  for (let at = 2n; at <= 40n; at += 1n) expect(await tick(await payer.voucher(at * token))).toBe(grade === 'A' ? 204 : 200)
  const last = turned(await payer.voucher(41n * token))
  expect(await tick(last)).toBe(grade === 'A' ? 204 : 200)
  await vi.waitFor(() => expect(reading.items).toHaveLength(41), 5000)
  await shop.post({ sid: reading.sid, op: 'close' })
  await reading.ended
  const { signature } = Object(last.payload).voucher
  expect(await shop.row(payer)).toMatchObject({ charged: 41n * token, voucher: { max: 41n * token, signature } })
  await shop.close()
  await store.close()
  const heir = await sqliteStore(path)
  ground.closing(() => heir.close())
  const { network, rpcUrl, seller } = ground.chain
  const scheme = batchSettlementServer({ network, payTo: seller.address, rpcUrl, store: heir })
  await scheme.start?.()
  const runner = scheme.vouchers?.runner({ facilitator: ground.facilitator })
  expect(await runner?.round({ all: true })).toMatchObject({ claimed: 1 })
  await runner?.close()
  expect(await heir.channels.find({ side: 'receiver', id: payer.id })).toMatchObject({ funds: { claimed: 41n * token } })
})
