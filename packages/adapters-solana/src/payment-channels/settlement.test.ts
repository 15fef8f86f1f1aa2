import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import type { Instruction } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readerOf } from '../chain/reader.ts'
import { httpRpc } from '../chain/rpc.ts'
import { placeChannel, signVoucher } from '../fixtures/program-channels.ts'
import { type Ring, withRingVoucher } from '../vouchers/ring.ts'
import { channelAddress, channelsProgram, distributionHash, readChannelAccount, type StoredChannel } from './program.ts'
import { leavingOf, refuseChannel, type Settling, settlementOf } from './settlement.ts'
import { decodeVoucher } from './voucher.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
})
afterAll(() => local?.stop())

const usd = 1_000_000n

/** A channel of ten dollars on the chain, in whatever state, and as it is read back from there. */
async function placed(change: Partial<StoredChannel> = {}) {
  const { channel, stored } = await placeChannel(local, change)
  const account = await readerOf(httpRpc({ url: local.rpcUrl, fetch, timeoutMs: 5000 })).account(channel)
  const read = account && readChannelAccount(account)
  if (read === undefined) throw new RangeError('no channel')
  expect(read).toEqual(stored)
  return { channel, stored: read }
}

async function ringOf(channel: string, maxima: readonly bigint[], consumed: bigint): Promise<Ring> {
  const signed = maxima.map(async (max) => ({ max, signature: await signVoucher(channel, max) }))
  return (await Promise.all(signed)).reduce<Ring>((ring, voucher) => withRingVoucher(ring, voucher, consumed), [])
}

/** What a transaction does, in words; a voucher by its amount. */
function told(instructions: readonly Instruction[]): string[] {
  const names = ['', 'open', 'settle', 'topUp', 'settleAndSeal', 'requestClose', 'seal', 'distribute', 'withdrawPayer', 'reclaim']
  return instructions.map(({ programAddress, data = new Uint8Array() }) => {
    if (programAddress !== channelsProgram) return `shows ${decodeVoucher(Uint8Array.from(data.slice(112)))?.cumulative}`
    const name = names[data[0] ?? 0] ?? 'unknown'
    return name === 'settleAndSeal' ? `${name} ${data[1]}` : name
  })
}

describe('a receiver', () => {
  it('takes vouchers over a channel that is wholly his, in his token, and that nobody ends without him', async () => {
    verifies('FS1-CHANNELS-SETTLE')
    const terms = { receiver: local.seller.address, mint: local.usdc.address, payee: local.facilitator.address, leastGrace: 900 }
    const judge = async (change: Partial<StoredChannel> = {}, asked: Partial<typeof terms> = {}) => {
      const { channel, stored } = await placed(change)
      return refuseChannel(channel, stored, { ...terms, ...asked })
    }
    expect(await judge()).toBeUndefined()
    expect(await judge({}, { mint: local.seller.address })).toBe('mint')
    expect(await judge({ payee: local.buyer.address })).toBe('payee')
    expect(await judge({}, { receiver: local.buyer.address })).toBe('shares')
    const half = [{ recipient: local.seller.address, bps: 5000 }]
    expect(await judge({ distributionHash: distributionHash(half) })).toBe('shares')
    expect(await judge({ gracePeriod: 899 })).toBe('grace')
    for (const status of ['closing', 'sealed', 'distributed'] as const) expect(await judge({ status })).toBe('closing')
    const { stored } = await placed()
    expect(refuseChannel(channelAddress({ ...stored, salt: 0n }), stored, terms)).toBe('address')
  })

  it('settles the highest voucher that was consumed to its end, by what the channel’s state and time allow', async () => {
    verifies(['FS1-CHANNELS-SETTLE', 'FS1-CHANNELS-RING'])
    const steps = async (change: Partial<StoredChannel>, at: Partial<Settling> = {}) => {
      const { channel, stored } = await placed(change)
      const ring = await ringOf(channel, [usd, 2n * usd, 3n * usd, 11n * usd], 0n)
      const { network, seller } = local
      return told(
        settlementOf({ channel, stored, network, receiver: seller.address, ring, consumed: 2_500_000n, now: 1000n, slot: 0n, ...at }),
      )
    }
    expect(await steps({})).toEqual(['shows 2000000', 'settle', 'distribute'])
    expect(await steps({ settled: 2n * usd })).toEqual(['distribute'])
    expect(await steps({ settled: 2n * usd, payoutWatermark: 2n * usd })).toEqual([])
    // Never above what was put in, whatever was signed and delivered.
    expect(await steps({}, { consumed: 12n * usd })).toEqual(['shows 3000000', 'settle', 'distribute'])
    const closing = { status: 'closing', closureStartedAt: 500n } as const
    expect(await steps(closing, { now: 1399n })).toEqual(['shows 2000000', 'settleAndSeal 1', 'distribute'])
    expect(await steps({ ...closing, settled: 2n * usd })).toEqual(['settleAndSeal 0', 'distribute'])
    // Too late: what was not settled is lost, and the rest is its payer's.
    expect(await steps(closing, { now: 1400n })).toEqual(['seal', 'distribute'])
    expect(await steps({ status: 'sealed' })).toEqual(['distribute'])
    expect(await steps({ status: 'distributed' }, { slot: 1600n })).toEqual([])
    expect(await steps({ status: 'distributed' }, { slot: 1601n })).toEqual(['reclaim'])
  })

  it('pays out nothing where the program’s share cannot be known', async () => {
    verifies('FS1-CHANNELS-SETTLE')
    const { channel, stored } = await placed()
    const ring = await ringOf(channel, [usd], 0n)
    const given = { channel, stored, receiver: local.seller.address, ring, consumed: usd, now: 0n, slot: 0n }
    expect(told(settlementOf({ ...given, network: 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z' }))).toEqual(['shows 1000000', 'settle'])
  })
})

describe('a payer', () => {
  it('gets out of a channel by himself: he asks, waits, ends it and takes the rest, once', async () => {
    verifies(['FS1-CHANNELS-SETTLE', 'M31'])
    const steps = async (change: Partial<StoredChannel>, now = 0n) => told(leavingOf({ ...(await placed(change)), now }))
    expect(await steps({})).toEqual(['requestClose'])
    const closing = { status: 'closing', closureStartedAt: 500n } as const
    expect(await steps(closing, 1399n)).toEqual([])
    expect(await steps(closing, 1400n)).toEqual(['seal', 'withdrawPayer'])
    expect(await steps({ status: 'sealed', settled: usd })).toEqual(['withdrawPayer'])
    expect(await steps({ status: 'sealed', settled: 10n * usd })).toEqual([])
    expect(await steps({ status: 'sealed', payerWithdrawnAt: 1n })).toEqual([])
    expect(await steps({ status: 'distributed' })).toEqual([])
  })
})
