import type { Claim, ClaimRequest, Outcome, Store, StoredResponse } from '@flow402x/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { testChannels } from '../channels/channels.ts'
import { testLanes } from '../channels/lanes.ts'
import { testViews } from '../channels/views.ts'
import { testFunds } from './funds.ts'
import { testJournal } from './journal.ts'
import { testLedger, testPayees } from './ledger.ts'
import { testOutbox } from './outbox.ts'
import { type StoreProcess, type StoreProgram, startStoreProcess } from './processes.ts'
import { testUndelivered } from './undelivered.ts'

type Books = 'journal' | 'ledger' | 'payees' | 'outbox' | 'channels' | 'lanes'

/** A store as a suite opens it: with an outbox and the books of a facilitator and of a client, or without. */
export type OpenedStore = Omit<Store, Books> & Partial<Pick<Store, Books>>

/** A store to be proved. */
export type StoreSuite = {
  readonly name: string
  /** Opens the store: each call is one more connection to the same data, with a `retention` of an hour. */
  open(): Promise<OpenedStore>
  /** The same store made in a process of its own; without it the tests with several processes are skipped, for the reason given. */
  readonly program: (() => StoreProgram) | { readonly none: string }
  /** Why the store keeps no journal, no ledger, no payees, no outbox, no channels and no lanes; their lists are skipped for it. */
  readonly noJournal?: string
  /** kill -9 of the server that holds the data, and its new start. Stores that are a file have none. */
  crash?(): Promise<void>
}

const retention = 3_600_000
const start = 1_763_700_000_000
const maxAttempts = 3

/** What every store must do, in one list: claims, budgets, consumed logs, journals, their durability, and what they forget. */
export function testStore(suite: StoreSuite): void {
  describe(suite.name, () => {
    let store: OpenedStore
    let others: OpenedStore[] = []
    beforeAll(async () => {
      store = await suite.open()
      others = await Promise.all([suite.open(), suite.open(), suite.open()])
    })
    afterAll(async () => {
      for (const one of [store, ...others]) await one.close()
    })

    describe('claims', () => testClaims(() => ({ store, all: [store, ...others] })))
    describe('payment ids', () => testNames(() => ({ store, all: [store, ...others] })))
    describe('paid and not delivered', () => testUndelivered(() => store.claims, claimRequest))
    describe('what is kept', () => testKept(() => store))
    describe('funds and books', () => testFunds({ stores: () => [store, ...others], request: (payer) => claimRequest({ payer }) }))
    describe('budgets', () => testBudgets(() => ({ store, all: [store, ...others] })))
    describe('logs that paid', () => testLogs(() => [store, ...others]))
    describe('the journal', () => testJournal(suite, () => [store, ...others].flatMap(({ journal }) => journal ?? [])))
    describe('the ledger', () => testLedger(suite, () => [store, ...others].flatMap(({ ledger }) => ledger ?? [])))
    describe('payees', () => testPayees(suite, () => [store, ...others].flatMap(({ payees }) => payees ?? [])))
    describe('the outbox', () => testOutbox(suite, { stores: () => [store, ...others], request: () => claimRequest() }))
    describe('channels', () => testChannels(suite, () => [store, ...others].flatMap(({ channels }) => channels ?? [])))
    describe('lanes', () => testLanes(suite, () => [store, ...others].flatMap(({ lanes }) => lanes ?? [])))
    describe('views', () => testViews(() => [store, ...others].map(({ views }) => views)))
    describe('several processes', () => testProcesses(suite))
  })
}

type Stage = () => { readonly store: OpenedStore; readonly all: readonly OpenedStore[] }

function testClaims(stage: Stage): void {
  it('grants the first and shows it to the rest', async () => {
    const { claims } = stage().store
    const request = claimRequest()
    const { granted, claim } = await claims.claim(request, { maxAttempts })
    expect({ granted, claim }).toEqual({ granted: true, claim: claimOf(request) })
    expect(await claims.claim({ ...request, claimId: unique() }, { maxAttempts })).toEqual({ granted: false, claim })
    expect(await claims.find(request.key.id)).toEqual(claim)
    expect(await claims.find(unique())).toBeUndefined()
  })

  it('grants one of 100 copies over four connections', async () => {
    verifies(['A1', 'H4'])
    const request = claimRequest()
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) => claimsOf(stage(), index).claim({ ...request, claimId: `copy-${index}` }, { maxAttempts })),
    )
    const granted = answers.filter((answer) => answer.granted)
    expect(granted).toHaveLength(1)
    expect(answers.map(({ claim }) => claim)).toEqual(answers.map(() => granted[0]?.claim))
  })

  it('lets one of 50 at once take a claim that was opened again', async () => {
    verifies('M6')
    const { claims } = stage().store
    const request = claimRequest()
    const { claim } = await claims.claim(request, { maxAttempts })
    await claims.update(claim, { state: 'open', leaseUntil: 0 })
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => claimsOf(stage(), index).claim({ ...request, claimId: `again-${index}` }, { maxAttempts })),
    )
    const [taken, ...more] = answers.filter((answer) => answer.granted)
    expect(more).toEqual([])
    expect(taken?.claim).toEqual({ ...claim, claimId: taken?.claim.claimId, epoch: 3, attempts: 2 })
  })

  it('reopens for the same request alone, and as often as is allowed', async () => {
    verifies('M3')
    const { claims } = stage().store
    const request = claimRequest()
    let { claim } = await claims.claim(request, { maxAttempts: 2 })
    const reopen = async (): Promise<void> => {
      claim = (await claims.update(claim, { state: 'open', leaseUntil: 0, outcome: notSettled })) ?? claim
    }
    await reopen()
    expect(await claims.claim({ ...request, binding: 'another' }, { maxAttempts: 2 })).toEqual({ granted: false, claim })
    const again = await claims.claim({ ...request, claimId: 'second', leaseUntil: start + 9 }, { maxAttempts: 2 })
    expect(again).toEqual({
      granted: true,
      claim: { ...claim, claimId: 'second', state: 'claimed', epoch: 3, attempts: 2, leaseUntil: start + 9 },
    })
    claim = again.claim
    await reopen()
    expect(await claims.claim(request, { maxAttempts: 2 })).toEqual({ granted: false, claim })
  })

  it('keeps what is to be settled of a ceiling, and keeps it through later changes', async () => {
    verifies('M9')
    const { claims } = stage().store
    const { claim } = await claims.claim(claimRequest(), { maxAttempts })
    const { payment, requirements } = claim.submission
    const submission = { payment, requirements: { ...requirements, amount: '1' } }
    const settling = await claims.update(claim, { state: 'settling', submission })
    expect(await claims.find(claim.id)).toEqual({ ...claim, state: 'settling', submission, epoch: 2 })
    if (settling !== undefined) await claims.update(settling, { leaseUntil: start + 5 })
    expect((await claims.find(claim.id))?.submission).toEqual(submission)
  })

  it('changes nothing for a holder whose claim has moved on', async () => {
    verifies('M6')
    const { claims } = stage().store
    const { claim } = await claims.claim(claimRequest(), { maxAttempts })
    const settling = await claims.update(claim, { state: 'settling', leaseUntil: start + 1 })
    expect(settling).toEqual({ ...claim, state: 'settling', leaseUntil: start + 1, epoch: 2 })
    for (const stale of [claim, { ...claim, epoch: 2 }, { ...claim, state: 'settling' as const }, { ...claim, id: unique() }]) {
      expect(await claims.update(stale, { state: 'delivered', response: odd })).toBeUndefined()
    }
    expect(await claims.find(claim.id)).toEqual(settling)
  })

  it('lets one of 20 at once change a claim', async () => {
    const { claim } = await stage().store.claims.claim(claimRequest(), { maxAttempts })
    const changed = await Promise.all(
      Array.from({ length: 20 }, (_, index) => claimsOf(stage(), index).update(claim, { leaseUntil: start + index })),
    )
    expect(changed.filter((one) => one !== undefined)).toEqual([await stage().store.claims.find(claim.id)])
  })
}

function testNames(stage: Stage): void {
  it('names one payment of a payer: another with the same id finds the first', async () => {
    verifies('M4')
    const { claims } = stage().store
    const first = claimRequest({ secret: unique() })
    const { claim } = await claims.claim(first, { maxAttempts })
    const other = claimRequest({ payer: first.key.payer, secret: first.secret })
    expect(await claims.claim(other, { maxAttempts })).toEqual({ granted: false, claim })
    expect(await claims.find(other.key.id)).toBeUndefined()
    expect((await claims.claim(claimRequest({ secret: first.secret }), { maxAttempts })).granted).toBe(true)
    expect((await claims.claim({ ...other, secret: unique() }, { maxAttempts })).granted).toBe(true)
  })

  it('grants one of 20 payments at once that bear one id', async () => {
    const [payer, secret] = [unique(), unique()]
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => claimsOf(stage(), index).claim(claimRequest({ payer, secret }), { maxAttempts })),
    )
    const granted = answers.filter((answer) => answer.granted)
    expect(granted).toHaveLength(1)
    expect(new Set(answers.map(({ claim }) => claim.id))).toEqual(new Set([granted[0]?.claim.id]))
  })

  it('is given to a claim that had none, unless another has it; a claim that has one keeps it', async () => {
    const { claims } = stage().store
    const open = async (secret?: string) => {
      const request = claimRequest({ payer, secret })
      const { claim } = await claims.claim(request, { maxAttempts })
      return { request, claim: await claims.update(claim, { state: 'open', leaseUntil: 0 }) }
    }
    const payer = unique()
    const named = await open(unique())
    const nameless = await open()
    const secret = named.request.secret ?? ''
    expect(await claims.claim({ ...nameless.request, secret }, { maxAttempts })).toEqual({ granted: false, claim: named.claim })
    expect(await claims.find(nameless.request.key.id)).toMatchObject({ state: 'open', attempts: 1 })
    const later = unique()
    expect(await claims.claim({ ...nameless.request, secret: later }, { maxAttempts })).toMatchObject({
      granted: true,
      claim: { secret: later },
    })
    expect(await claims.find(nameless.request.key.id)).toMatchObject({ secret: later, attempts: 2 })
    expect(await claims.claim({ ...named.request, secret: unique() }, { maxAttempts })).toMatchObject({ granted: true, claim: { secret } })
  })
}

function testKept(open: () => OpenedStore): void {
  it('gives back every byte of a response, and headers as they were', async () => {
    verifies('M4')
    const { claims } = open()
    for (const response of [odd, empty]) {
      const { claim } = await claims.claim(claimRequest(), { maxAttempts })
      const settling = await claims.update(claim, { state: 'settling', response })
      expect(settling?.response).toEqual(response)
      const delivered = await claims.update(settling ?? claim, { state: 'delivered', outcome: settled })
      const found = await claims.find(claim.id)
      expect(found).toEqual(delivered)
      expect(found).toEqual({ ...claim, epoch: 3, state: 'delivered', outcome: settled, response })
      expect(found?.response?.body).toBeInstanceOf(Uint8Array)
    }
  })

  it('keeps a megabyte through every change', async () => {
    const { claims } = open()
    const { claim } = await claims.claim(claimRequest(), { maxAttempts })
    const settling = await claims.update(claim, { state: 'settling', response: { status: 200, headers: [], body: large } })
    await claims.update(settling ?? claim, { state: 'settled', outcome: settled })
    expect(Buffer.from((await claims.find(claim.id))?.response?.body ?? []).equals(large)).toBe(true)
  })

  it('keeps outcomes of every kind, and the times and amounts of far away', async () => {
    const { claims } = open()
    const request = claimRequest()
    const far = { ...request, key: { ...request.key, deadAfter: Number.MAX_SAFE_INTEGER }, leaseUntil: Number.MAX_SAFE_INTEGER * 1000 }
    const { claim } = await claims.claim(far, { maxAttempts })
    expect(await claims.find(claim.id)).toEqual(claimOf(far))
    let standing = claim
    for (const outcome of outcomes) {
      standing = (await claims.update(standing, { outcome })) ?? standing
      expect(await claims.find(claim.id)).toEqual({ ...standing, outcome })
    }
  })

  it('forgets what ended long ago, and nothing that has not ended', async () => {
    verifies(['D5', 'M12'])
    const { claims } = open()
    const ends = ['delivered', 'failed'] as const
    const unresolved = ['claimed', 'open', 'settling', 'settled'] as const
    const made = new Map<string, ClaimRequest>()
    for (const state of [...ends, ...unresolved]) {
      const request = claimRequest({ secret: unique() })
      const { claim } = await claims.claim(request, { maxAttempts })
      await claims.update(claim, { state, leaseUntil: 0 })
      made.set(state, request)
    }
    const left = async (): Promise<string[]> => {
      const found = await Promise.all([...made].map(async ([state, { key }]) => ((await claims.find(key.id)) === undefined ? [] : [state])))
      return found.flat()
    }
    const dead = deadAfter * 1000 + retention
    await claims.purge(dead)
    expect(await left()).toEqual([...ends, ...unresolved])
    expect(await claims.purge(dead + 1000)).toBeGreaterThanOrEqual(2)
    expect(await left()).toEqual([...unresolved])
    expect(await claims.purge(dead + 1000)).toBe(0)
    const [{ key, secret } = claimRequest()] = [made.get('delivered')]
    expect((await claims.claim(claimRequest({ payer: key.payer, secret }), { maxAttempts })).granted).toBe(true)
  })

  it('forgets along the way', async () => {
    verifies('D5')
    const { claims } = open()
    const { claim } = await claims.claim(claimRequest(), { maxAttempts })
    await claims.update(claim, { state: 'delivered' })
    for (let count = 0; count < 256; count += 1) {
      await claims.claim({ ...claimRequest(), now: deadAfter * 1000 + retention + 1000 }, { maxAttempts })
    }
    expect(await claims.find(claim.id)).toBeUndefined()
  })
}

function testBudgets(stage: Stage): void {
  const huge = 10n ** 77n

  it('sets aside, commits and releases, each once', async () => {
    verifies('H7')
    const { budgets } = stage().store
    const [scope, id] = [unique(), unique()]
    const reservation = { id, amount: 30n, limits: [{ scope, limit: 100n }] }
    expect(await budgets.use(scope)).toEqual({ reserved: 0n, committed: 0n })
    expect(await budgets.reserve(reservation)).toEqual({ granted: true })
    expect(await budgets.reserve(reservation)).toEqual({ granted: true })
    expect(await budgets.use(scope)).toEqual({ reserved: 30n, committed: 0n })
    await budgets.commit(id)
    await budgets.commit(id)
    await budgets.release(id)
    expect(await budgets.use(scope)).toEqual({ reserved: 0n, committed: 30n })
    await budgets.reserve({ ...reservation, id: `${id}-2` })
    await budgets.release(`${id}-2`)
    await budgets.release(`${id}-2`)
    await budgets.commit(`${id}-2`)
    expect(await budgets.use(scope)).toEqual({ reserved: 0n, committed: 30n })
    expect(await budgets.reserve({ ...reservation, id: unique(), amount: 71n })).toEqual({ granted: false, scope, left: 70n })
    expect(await budgets.reserve({ ...reservation, id: unique(), amount: 1n, limits: [{ scope, limit: 10n }] })).toEqual({
      granted: false,
      scope,
      left: 0n,
    })
    expect(await budgets.reserve({ ...reservation, id: unique(), amount: 70n })).toEqual({ granted: true })
  })

  it('counts amounts of 78 digits exactly', async () => {
    const { budgets } = stage().store
    const [scope, id] = [unique(), unique()]
    const limit = 9n * huge + 123_456_789_012_345_678_901n
    await budgets.reserve({ id, amount: 4n * huge + 1n, limits: [{ scope, limit }] })
    await budgets.commit(id)
    await budgets.reserve({ id, amount: 5n * huge - 1n, limits: [{ scope, limit }] })
    expect(await budgets.use(scope)).toEqual({ reserved: 5n * huge - 1n, committed: 4n * huge + 1n })
    const left = 123_456_789_012_345_678_901n
    expect(await budgets.reserve({ id: unique(), amount: left + 1n, limits: [{ scope, limit }] })).toEqual({ granted: false, scope, left })
    expect(await budgets.reserve({ id: unique(), amount: left, limits: [{ scope, limit }] })).toEqual({ granted: true })
    await budgets.release(id)
    expect(await budgets.use(scope)).toEqual({ reserved: left, committed: 4n * huge + 1n })
  })

  it('reserves under every scope or under none, and names the first that is full', async () => {
    const { budgets } = stage().store
    const [total, day, origin] = [unique(), unique(), unique()]
    const ask = (amount: bigint, limits: readonly (readonly [string, bigint])[]) =>
      budgets.reserve({ id: unique(), amount, limits: limits.map(([scope, limit]) => ({ scope, limit })) })
    expect(await ask(6n, [[day, 10n]])).toEqual({ granted: true })
    const wide = [
      [total, 100n],
      [day, 10n],
      [origin, 3n],
    ] as const
    expect(await ask(5n, wide)).toEqual({ granted: false, scope: day, left: 4n })
    expect(await budgets.use(total)).toEqual({ reserved: 0n, committed: 0n })
    expect(await ask(4n, wide)).toEqual({ granted: false, scope: origin, left: 3n })
    expect(await ask(3n, wide)).toEqual({ granted: true })
    expect(await budgets.use(total)).toEqual({ reserved: 3n, committed: 0n })
  })

  it('is never passed by 50 at once over four connections', async () => {
    verifies('H7')
    const [scope, other] = [unique(), unique()]
    const { all, store } = stage()
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const limits = [
          { scope, limit: 17n * huge },
          { scope: other, limit: 40n * huge },
        ]
        const { budgets } = all[index % all.length] ?? store
        return budgets.reserve({ id: `${scope}-${index}`, amount: huge, limits: index % 2 === 0 ? limits : limits.reverse() })
      }),
    )
    expect(answers.filter(({ granted }) => granted)).toHaveLength(17)
    expect(await store.budgets.use(scope)).toEqual({ reserved: 17n * huge, committed: 0n })
    await Promise.all(Array.from({ length: 50 }, (_, index) => all[index % all.length]?.budgets.commit(`${scope}-${index}`)))
    expect(await store.budgets.use(other)).toEqual({ reserved: 0n, committed: 17n * huge })
  })
}

function testLogs(open: () => readonly OpenedStore[]): void {
  it('pay one key, once, whoever asks', async () => {
    verifies('M1')
    const log = { network: 'eip155:84532', transaction: unique(), logIndex: 7 }
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => open()[index % 4]?.logs.consume(log, `key-${index}`)))
    expect(answers.filter((paid) => paid)).toHaveLength(1)
    const winner = answers.indexOf(true)
    expect(await open()[0]?.logs.consume(log, `key-${winner}`)).toBe(true)
    expect(await open()[1]?.logs.consume(log, `key-${winner + 1}`)).toBe(false)
    expect(await open()[0]?.logs.consume({ ...log, logIndex: 8 }, 'another')).toBe(true)
    expect(await open()[0]?.logs.consume({ ...log, network: 'eip155:8453' }, 'another')).toBe(true)
  })
}

function testProcesses(suite: StoreSuite): void {
  const { program } = suite
  if (typeof program !== 'function') {
    it.skip(`share claims and budgets, and lose nothing when killed (${program.none})`, () => {})
    return
  }
  const processes: StoreProcess[] = []
  const started = async (): Promise<StoreProcess> => {
    const one = await startStoreProcess(program())
    processes.push(one)
    return one
  }
  afterAll(() => Promise.all(processes.map(({ kill }) => kill())))

  it('grant one of 100 copies and stay within one budget', { timeout: 120_000 }, async () => {
    verifies(['A1', 'H4', 'H7'])
    const four = await Promise.all([started(), started(), started(), started()])
    const request = claimRequest()
    const limits = [{ scope: unique(), limit: 17n }]
    const answers = await Promise.all(
      Array.from({ length: 100 }, async (_, index) => {
        const { claims, budgets } = four[index % 4] ?? (await started())
        const { granted } = await claims.claim({ ...request, claimId: `copy-${index}` }, { maxAttempts })
        const reserved = await budgets.reserve({ id: `${limits[0]?.scope}-${index}`, amount: 1n, limits })
        return { granted, reserved: reserved.granted }
      }),
    )
    expect(answers.filter(({ granted }) => granted)).toHaveLength(1)
    expect(answers.filter(({ reserved }) => reserved)).toHaveLength(17)
  })

  it('are killed while they write: what was answered is there, and nothing is half there', { timeout: 120_000 }, async () => {
    verifies(['H21', 'M18'])
    const writer = await started()
    const requests = Array.from({ length: 400 }, () => claimRequest({ secret: unique() }))
    const answered = new Map<string, Claim>()
    const scope = unique()
    let enough = () => {}
    const killed = new Promise<void>((resolve) => {
      enough = resolve
    }).then(() => writer.kill())
    const written = requests.map(async (request, index) => {
      const { claim } = await writer.claims.claim(request, { maxAttempts })
      answered.set(claim.id, claim)
      const settling = await writer.claims.update(claim, { state: 'settling', response: odd, outcome: settled })
      if (settling !== undefined) answered.set(claim.id, settling)
      await writer.budgets.reserve({ id: `${scope}-${index}`, amount: 1n, limits: [{ scope, limit: 1000n }] })
      answered.set(`${scope}-${index}`, claim)
      if (answered.size > 60) enough()
    })
    await Promise.allSettled([...written, killed])
    await suite.crash?.()

    const store = await suite.open()
    const reserved = [...answered.keys()].filter((id) => id.startsWith(scope)).length
    expect(answered.size).toBeGreaterThan(60)
    const use = await store.budgets.use(scope)
    expect(use.reserved).toBeGreaterThanOrEqual(BigInt(reserved))
    for (const { key } of requests) {
      const [known, found] = [answered.get(key.id), await store.claims.find(key.id)]
      if (known !== undefined) expect(found?.epoch).toBeGreaterThanOrEqual(known.epoch)
      if (found?.state === 'settling') expect(found).toMatchObject({ epoch: 2, response: odd, outcome: settled })
      else if (found !== undefined) expect(found).toMatchObject({ state: 'claimed', epoch: 1 })
    }
    for (const request of requests.filter(({ key }) => answered.has(key.id))) {
      expect((await store.claims.claim({ ...request, claimId: unique() }, { maxAttempts })).granted).toBe(false)
    }
    await store.close()
  })
}

const deadAfter = start / 1000 + 60

const settled: Outcome = {
  status: 'settled',
  network: 'eip155:84532',
  payer: '0xpayer',
  transaction: '0xabc',
  amount: '115792089237316195423570985008687907853269984665640564039457584007913129639935',
  extra: { nested: { list: [1, null, 'x'] } },
}
const notSettled: Outcome = { status: 'notSettled', network: 'eip155:84532', reason: 'handler_failed', retry: 'same', deadAfter }
const outcomes: readonly Outcome[] = [
  settled,
  { status: 'pending', network: 'eip155:84532' },
  { status: 'pending', network: 'eip155:84532', transaction: '0xabc', payer: '0xpayer' },
  { status: 'notSettled', network: 'eip155:84532', reason: 'unexpected_settle_error: odd', message: 'why', retry: 'resign' },
  notSettled,
]

// A view into the middle of a larger buffer, with every byte there is.
const every = Uint8Array.from({ length: 260 }, (_, index) => index % 256).subarray(2, 258)
const odd: StoredResponse = {
  status: 206,
  headers: [
    ['Set-Cookie', 'a=1; Path=/'],
    ['set-cookie', 'b="2"'],
    ['x-empty', ''],
    ['x-latin', 'caf\u00e9 \u{1f4b8} \\ " \' ; -- \u0000 $1 ?1'],
  ],
  body: every,
}
const empty: StoredResponse = { status: 204, headers: [['content-length', '0']], body: new Uint8Array(0) }
const large = Uint8Array.from({ length: 1024 * 1024 }, (_, index) => (index * 31) % 256)

let count = 0
const run = crypto.randomUUID()

/** Text that no other test of any store uses. */
function unique(): string {
  count += 1
  return `${run}-${count}`
}

type Wanted = { readonly payer?: string; readonly binding?: string; readonly secret?: string | undefined }

function claimRequest({ payer = unique(), binding = 'GET https://seller.example/', secret }: Wanted = {}): ClaimRequest {
  const requirements = {
    scheme: 'exact',
    network: 'eip155:84532',
    amount: '10000',
    asset: '0x036CbD53842c5426634e7929541eC2318f3dCF7e',
    payTo: '0x209693Bc6afc0C5328bA36FaF03C514EF312287C',
    maxTimeoutSeconds: 60,
    extra: { name: 'USDC', version: '2' },
  }
  const payment = { x402Version: 2 as const, accepted: requirements, payload: { signature: '0x00', nonce: { of: ['a', 1, null, true] } } }
  return {
    key: { id: unique(), payer, deadAfter },
    binding,
    claimId: unique(),
    submission: { payment, requirements },
    ...(secret === undefined ? {} : { secret }),
    now: start,
    leaseUntil: start + 60_000,
  }
}

function claimOf({ key, now: _, ...held }: ClaimRequest): Claim {
  return { ...key, ...held, state: 'claimed', epoch: 1, attempts: 1 }
}

function claimsOf({ all, store }: ReturnType<Stage>, index: number): Store['claims'] {
  return (all[index % all.length] ?? store).claims
}
