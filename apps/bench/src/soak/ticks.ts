import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { network } from '../houses/terms.ts'
import { inTurn } from '../measure/channel-shop.ts'
import { type Lanes, lanesOf, postOf } from '../measure/lanes.ts'
import { connectTo } from '../measure/load.ts'
import { type Role, startRole, withRoles } from '../measure/role.ts'
import { percentile } from '../report/figure.ts'
import type { StreamSellerArgument, StreamSellerCalls } from '../roles/stream-seller.ts'

type Seller = Role<{ url: string }, StreamSellerCalls>
type Soaked = { readonly chain: EvmChain; readonly seller: Seller; readonly lanes: (salt: bigint) => Promise<Lanes> }

// A channel keeps 32 vouchers apart, and each is for a second: so many come before the seconds are let pass.
const ahead = 28
// As many connections as it takes to forge thousands in a second.
const forgers = 16
// How long ticks are sent between two looks at the clock (ms).
const breath = 5

/** What a seller of streams went through: ticks that were taken, and the bytes that were alive in it, first after it had warmed up. */
export type Steady = { readonly ticks: number; readonly perSecond: number; readonly heaps: readonly number[] }

/** Ticks on eight sockets for so long, at most so many in a second. */
export function soakTicks({ seconds, perSecond }: { readonly seconds: number; readonly perSecond: number }): Promise<Steady> {
  return withSeller(async ({ seller, lanes }) => {
    const stream = await lanes(1000n)
    const open = await inTurn(8, async () => stream.socket(await stream.newPayer(), 1n))
    let ticks = 0
    const tickFor = async (duration: number): Promise<void> => {
      const began = performance.now()
      const due = (): number => ((performance.now() - began) / 1000) * perSecond
      let sent = 0
      while (performance.now() - began < duration) {
        await Promise.all(open.map(async (one) => inTurn(ahead, async () => one.tick(await one.frame()))))
        sent += ahead * open.length
        await seller.call('play', ahead)
        while (sent > due()) await new Promise((resolve) => setTimeout(resolve, breath))
      }
      ticks += sent
    }
    await tickFor(seconds * 300)
    ticks = 0
    const heaps = [await seller.call('heap', undefined)]
    for (let part = 0; part < 5; part += 1) {
      await tickFor(seconds * 140)
      heaps.push(await seller.call('heap', undefined))
    }
    for (const one of open) one.end()
    return { ticks, perSecond: ticks / (seconds * 0.7), heaps }
  })
}

/** How long honest payers wait for the answers to their ticks (p99, ms), in quiet and while others forge; and how many are forged in a second. */
export type Forged = { readonly quiet: number; readonly forged: number; readonly perSecond: number }

/** Honest ticks on eight lanes, with and without forged ones beside them, in turns. */
export function soakForged({ rounds, ticks }: { readonly rounds: number; readonly ticks: number }): Promise<Forged> {
  return withSeller(async ({ seller, lanes }) => {
    const stream = await lanes(2000n)
    const tickUrl = `${seller.ready.url}/film/tick`
    const open = await inTurn(8, async () => {
      const payer = await stream.newPayer()
      return { payer, reading: await stream.read(payer, 1n) }
    })
    const honestly = await connectTo(tickUrl, open.length)
    const honest = async (): Promise<number> => {
      const posts = await Promise.all(open.map(({ payer, reading: { sid } }) => inTurn(ahead, () => postOf(payer, sid))))
      const { p99 } = await honestly.send({ requests: ahead * open.length, status: 200, posts })
      await seller.call('play', ahead)
      return p99
    }
    // All of one length, and no two of one name: each costs what guessing a name costs.
    let guesses = 0
    const guess = (): string => {
      guesses += 1
      const sid = Buffer.from(`guess ${String(guesses).padStart(10, '0')}`).toString('base64url')
      return JSON.stringify({
        sid,
        voucher: { channelId: `0x${'ab'.repeat(32)}`, maxClaimableAmount: '1', signature: `0x${'cd'.repeat(65)}` },
      })
    }
    const waits: Record<'quiet' | 'forged', number[]> = { quiet: [], forged: [] }
    let rate = 0
    for (let round = 0; round < rounds; round += 1) {
      for (let some = 0; some < ticks; some += ahead) waits.quiet.push(await honest())
      let goesOn = true
      const attack = (async () => {
        const falsely = await connectTo(tickUrl, forgers)
        const began = performance.now()
        let sent = 0
        while (goesOn) {
          const posts = Array.from({ length: forgers }, () => Array.from({ length: ahead }, guess))
          const requests = forgers * ahead
          await falsely.send({ requests, status: 404, posts })
          sent += requests
          // 5,000 in a second, and no more.
          const early = sent / 5 - (performance.now() - began)
          if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
        }
        rate = Math.max(rate, (1000 * sent) / (performance.now() - began))
        falsely.end()
      })()
      for (let some = 0; some < ticks; some += ahead) waits.forged.push(await honest())
      goesOn = false
      await attack
    }
    for (const one of [honestly, ...open.map(({ reading }) => reading)]) one.end()
    return { quiet: percentile(waits.quiet, 0.5), forged: percentile(waits.forged, 0.5), perSecond: rate }
  })
}

async function withSeller<Result>(work: (soaked: Soaked) => Promise<Result>): Promise<Result> {
  const chain = await startEvmChain({ network })
  try {
    const account = { rpcUrl: chain.rpcUrl, key: chain.seller.privateKey, payTo: chain.seller.address }
    const argument: StreamSellerArgument = { ...account, books: 'memory' }
    const started: Promise<Seller> = startRole('stream-seller', { argument })
    return await withRoles([started], async () => {
      const seller = await started
      return work({ chain, seller, lanes: (salt) => lanesOf(chain, { url: `${seller.ready.url}/film`, salt, holds: 1_000_000n }) })
    })
  } finally {
    await chain.stop()
  }
}
