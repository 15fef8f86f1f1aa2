import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buyWindow, endLane, growLane, raiseVoucher } from '../stream/lane.ts'
import { beforeClaim, type Channel, type ChannelFunds, learnFunds, lesser } from './channel.ts'
import { finishStretch, leaveStretch, setAside, takeStretch } from './work.ts'

const small = fc.bigInt({ min: 1n, max: 6n })
const which = fc.nat({ max: 9 })
const lane = fc.constantFrom('a', 'b')

/** What a hostile payer, the chain and two processes of his seller do, in any order. */
const deed = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant('take' as const), max: fc.bigInt({ min: 1n, max: 22n }), amount: small }) },
  { weight: 6, arbitrary: fc.record({ does: fc.constant('finish' as const), which, used: fc.bigInt({ min: 0n, max: 6n }) }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('leave' as const), which, hasLeft: fc.boolean() }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('ask again' as const), which }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('wait' as const), time: fc.constantFrom(5, 20, 4_000_000) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('ask for a refund' as const), amount: fc.option(small) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('refund' as const), claims: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('begin to withdraw' as const), amount: fc.bigInt({ min: 1n, max: 22n }) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('withdraw' as const) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('claim' as const) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('ask for a claim' as const) }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('deposit' as const), amount: small }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('look' as const) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('learn' as const), which }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('buy' as const), lane, max: fc.bigInt({ min: 1n, max: 22n }), amount: small }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('raise' as const), lane, max: fc.bigInt({ min: 1n, max: 22n }), used: small }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('grow' as const), lane, used: small }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('end' as const), lane, used: small }) },
)
type Deed = typeof deed extends fc.Arbitrary<infer Value> ? Value : never

/** A channel of 20 on a chain that pays claims, refunds and withdrawals as the escrow does, and the seller's books of it. */
function world() {
  let now = 1000
  let works = 0
  const chain = { balance: 20n, claimed: 0n, withdrawing: 0n, nonce: 0n }
  const sight = (): ChannelFunds => {
    now += 1
    const { balance, claimed, withdrawing, nonce } = chain
    return { balance, claimed, withdrawing, withdrawalAt: withdrawing > 0n ? 1 : 0, refundNonce: nonce, readAt: now }
  }
  let row: Channel = {
    ...{ side: 'receiver', id: '0xc', network: 'eip155:84532', config: {}, funds: sight(), refunding: 0n, charged: 0n, top: 0n },
    ...{ held: [], free: [], epoch: 1 },
  }
  const set = <Result>(changed: { readonly channel: Channel; readonly result: Result }): Result => {
    row = changed.channel
    return changed.result
  }
  const sights: ChannelFunds[] = [row.funds]
  let consent: { readonly amount: bigint; readonly nonce: bigint; readonly claim: bigint } | undefined
  const claimable = (): bigint => [row.charged, row.voucher?.max ?? 0n, row.funds.balance].reduce(lesser)
  // It lands some time after it was asked for.
  let asked = 0n
  const claim = (total: bigint): void => {
    if (total > chain.claimed && total <= chain.balance) chain.claimed = total
  }
  const held = (at: number) => row.held[at % Math.max(1, row.held.length)]
  const stepOf = (id: string, used = 0n) => {
    const before = row.lanes?.find((one) => one.id === id)
    const all = (before?.used ?? 0n) + used
    return { id, slice: 5n, now, used: before && (all > before.granted ? before.granted : all) }
  }
  const signature = '0x'

  const deeds: { readonly [Does in Deed['does']]: (deed: Extract<Deed, { does: Does }>) => void } = {
    take({ max, amount }) {
      works += 1
      set(takeStretch(row, { id: `${works}`, max, amount, now, until: now + 10 }))
    },
    finish({ which: at, used }) {
      const hold = held(at)
      if (hold !== undefined) set(finishStretch(row, { id: hold.id, used: used % (hold.to - hold.from + 1n), signature, now }))
    },
    'ask again'({ which: at }) {
      const hold = held(at)
      works += 1
      if (hold !== undefined) set(takeStretch(row, { id: `${works}`, max: hold.to, amount: hold.to - hold.from, now, until: now + 10 }))
    },
    leave({ which: at, hasLeft }) {
      const hold = held(at)
      if (hold !== undefined) set(leaveStretch(row, { id: hold.id, ...(hasLeft ? {} : { lost: { at: now } }) }))
    },
    wait({ time }) {
      now += time
    },
    'ask for a refund'({ amount }) {
      set(learnFunds(row, sight()))
      const left = row.funds.balance - row.charged
      const aside = set(setAside(row, { amount: amount ?? left, now }))
      if (aside !== undefined) consent = { amount: aside, nonce: row.funds.refundNonce, claim: claimable() }
    },
    // Whoever has the consent may use it without the claim that came along.
    refund({ claims }) {
      if (consent === undefined || consent.nonce !== chain.nonce) return
      if (claims) claim(consent.claim)
      chain.nonce += 1n
      const amount = lesser(consent.amount, chain.balance - chain.claimed)
      chain.balance -= amount
      chain.withdrawing -= lesser(amount, chain.withdrawing)
    },
    'begin to withdraw'({ amount }) {
      if (chain.withdrawing === 0n) chain.withdrawing = lesser(amount, chain.balance - chain.claimed)
    },
    // The delay is long: what was under way has ended by then, whatever it came to, and the seller has seen it and claimed.
    withdraw() {
      set(learnFunds(row, sight()))
      for (const { id, from, to } of row.held) set(finishStretch(row, { id, used: to - from, signature, now }))
      for (const { id, granted } of row.lanes ?? []) set(growLane(row, { id, used: granted, slice: 0n, now }))
      row = beforeClaim(row)
      claim(claimable())
      chain.balance -= lesser(chain.withdrawing, chain.balance - chain.claimed)
      chain.withdrawing = 0n
    },
    'ask for a claim'() {
      row = beforeClaim(row)
      asked = claimable()
    },
    claim: () => claim(asked),
    deposit({ amount }) {
      chain.balance += amount
    },
    look: () => void sights.push(sight()),
    learn({ which: at }) {
      const seen = sights[at % sights.length]
      if (seen !== undefined) set(learnFunds(row, seen))
    },
    buy({ lane: id, max, amount }) {
      const opens = !row.lanes?.some((one) => one.id === id)
      set(buyWindow(row, { ...stepOf(id), max, amount, signature, opens }))
    },
    raise({ lane: id, max, used }) {
      const opens = !row.lanes?.some((one) => one.id === id)
      set(raiseVoucher(row, { ...stepOf(id, used), max, signature, opens }))
    },
    grow: ({ lane: id, used }) => void set(growLane(row, stepOf(id, used))),
    end: ({ lane: id, used }) => void set(endLane(row, { ...stepOf(id, used), refundable: true })),
  }
  return {
    // Each deed has the function of its name.
    does: (one: Deed) => (deeds[one.does] as (deed: Deed) => void)(one),
    row: () => row,
    chain,
    /** What refunds that are signed for may still take. */
    consented: () => (consent !== undefined && consent.nonce === chain.nonce ? lesser(consent.amount, chain.balance - chain.claimed) : 0n),
  }
}

test('whatever a payer, the chain and two processes do: what was delivered is covered by what is in the escrow', () => {
  verifies(['M26', 'M27', 'T15', 'F5'])
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 60 }), (list) => {
      const { does, row, chain, consented } = world()
      for (const one of list) {
        does(one)
        const { charged, voucher, funds, held, free, top, lanes = [] } = row()
        const under = held.map(({ from, to, used, before = 0n }) => to - from - (used ?? before))
        const credit = [...free, ...lanes.flatMap((live) => live.credit)].map(({ from, to }) => to - from)
        // What was signed is charged, held or credit, and nothing of it twice.
        expect([...under, ...credit].reduce((sum, amount) => sum + amount, charged) <= top).toBe(true)
        expect(chain.claimed <= charged).toBe(true)
        expect(charged <= (voucher?.max ?? 0n)).toBe(true)
        expect(funds.claimed <= charged).toBe(true)
        // Nothing was delivered that cannot be claimed, whichever refund that was consented to comes first (M27).
        expect([one.does, charged <= chain.balance - consented()]).toEqual([one.does, true])
      }
    }),
    { numRuns: 5000 },
  )
})
