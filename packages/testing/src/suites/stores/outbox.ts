import type { Claim, ClaimRequest, Message, NewMessage, OutboxStore } from '@flow402x/core'
import { afterAll, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { began, leased, newLane, newSettlement, retention, settledWith, signed, start, unique } from './journal-rows.ts'
import { type StoreProcess, startStoreProcess } from './processes.ts'
import type { OpenedStore, StoreSuite } from './store.ts'

/** The stores of one suite, and how it asks for a claim. */
export type OutboxSuite = { readonly stores: () => readonly OpenedStore[]; readonly request: () => ClaimRequest }

const most = 10_000
const maxAttempts = 3
const until = start + 1000

/** What an outbox must do, over several connections to the same data and in several processes. */
export function testOutbox(suite: StoreSuite, { stores, request }: OutboxSuite): void {
  const { noJournal, program } = suite
  if (noJournal !== undefined) {
    it.skip(`keeps what is to be told (${noJournal})`, () => {})
    return
  }
  const at = (index: number): Required<OpenedStore> => {
    const all = stores()
    // A suite that gives no reason for their absence opens stores with every part.
    return all[index % all.length] as Required<OpenedStore>
  }
  testMessages((index) => at(index).outbox)
  testTelling(at, request)
  if (typeof program === 'function') testTellers(suite, () => startStoreProcess(program()), request)
  else it.skip(`tells once per lease over two processes, also when one is killed (${program.none})`, () => {})
}

function testMessages(at: (index: number) => OutboxStore): void {
  it('keeps a message as it is, once', async () => {
    verifies('H43')
    const message = newMessage({ body: JSON.stringify({ odd: 'caf\u00e9 \u{1f4b8} \\ " \' ; -- \u0000 $1 ?1' }) })
    await Promise.all(Array.from({ length: 12 }, (_, index) => at(index).put([message, newMessage(message)])))
    await at(1).put([])
    expect(await taken(at(2), message.topic)).toEqual([{ ...message, attempts: 1, nextAttemptAt: until }])
    await at(1).put([{ ...message, body: 'another' }])
    expect(await taken(at(3), message.topic, until)).toMatchObject([{ body: message.body, attempts: 2 }])
  })

  it('is with one of 20 takers until its lease ends, the longest due first', async () => {
    verifies('M6')
    const topic = unique()
    // Long before those of any other test.
    const early = start - 1_000_000_000
    const messages = Array.from({ length: 30 }, (_, index) => newMessage({ topic, createdAt: early + index }))
    await at(0).put(messages.toReversed())
    const few = await at(1).take({ now: early + 29, until, most: 7 })
    expect(new Set(few.map(({ id }) => id))).toEqual(new Set(messages.slice(0, 7).map(({ id }) => id)))
    expect(await at(1).take({ now: early + 6, until, most })).toEqual([])
    const rounds = await Promise.all(Array.from({ length: 20 }, (_, index) => at(index).take({ now: early + 29, until, most: 5 })))
    const left = await at(2).take({ now: early + 29, until, most })
    const ids = [...rounds.flat(), ...left].map(({ id }) => id)
    expect(ids).toHaveLength(23)
    expect(new Set([...ids, ...few.map(({ id }) => id)]).size).toBe(30)
    expect(await taken(at(3), topic, until - 1)).toEqual([])
    expect(await taken(at(3), topic, until)).toHaveLength(30)
  })

  it('comes again when it could not be told, and never after it was', async () => {
    verifies('H43')
    const { topic, ...message } = newMessage()
    await at(0).put([{ topic, ...message }])
    const first = one(await taken(at(0), topic))
    expect(await at(1).later(first, until + 500)).toBe(true)
    expect(await taken(at(2), topic, until + 499)).toEqual([])
    const second = one(await taken(at(2), topic, until + 500, until + 600))
    expect(second).toEqual({ topic, ...message, attempts: 2, nextAttemptAt: until + 600 })
    // Who slept past its lease puts nothing off for who has the message now.
    expect(await at(1).later(first, until + 9000)).toBe(false)
    expect(one(await taken(at(3), topic, until + 600))).toMatchObject({ attempts: 3 })
    // What was told was told, whoever says so.
    await at(1).done(second, until + 600)
    await at(2).done(second, until + 9000)
    expect(await at(1).later({ ...second, attempts: 3 }, until)).toBe(false)
    await at(3).put([{ topic, ...message }])
    expect(await taken(at(0), topic, until + 1_000_000)).toEqual([])
  })

  it('says how many wait, and since when', async () => {
    const before = await at(0).waiting()
    const createdAt = start - 2_000_000_000
    const [old, young] = [newMessage({ createdAt }), newMessage()]
    await at(1).put([young, old])
    expect(await at(2).waiting()).toEqual({ count: before.count + 2, since: createdAt })
    await at(1).done({ ...old, attempts: 0, nextAttemptAt: 0 }, start)
    await at(1).done({ ...young, attempts: 0, nextAttemptAt: 0 }, start)
    expect(await at(3).waiting()).toEqual(before)
  })

  it('is forgotten long after it was told, and not before', async () => {
    verifies('M12')
    const topic = unique()
    const [told, untold] = [newMessage({ topic }), newMessage({ topic })]
    await at(0).put([told, untold])
    await at(0).done({ ...told, attempts: 0, nextAttemptAt: 0 }, start)
    await at(1).purge(start + retention)
    await at(1).put([told])
    expect((await taken(at(2), topic)).map(({ id }) => id)).toEqual([untold.id])
    expect(await at(1).purge(start + retention + 1)).toBeGreaterThanOrEqual(1)
    await at(1).put([told])
    expect((await taken(at(2), topic)).map(({ id }) => id)).toEqual([told.id])
    expect((await taken(at(2), topic, until)).map(({ id }) => id).sort()).toEqual([told.id, untold.id].sort())
  })
}

function testTelling(at: (index: number) => Required<OpenedStore>, request: () => ClaimRequest): void {
  it('gets what a claim has to tell when the claim changes, and nothing when it does not', async () => {
    verifies(['H43', 'M6'])
    const { claims, outbox } = at(0)
    expect(claims.outbox).toBe(outbox)
    const { claim } = await claims.claim(request(), { maxAttempts })
    const topic = unique()
    const messages = Array.from({ length: 20 }, () => newMessage({ topic }))
    const changed = await Promise.all(
      messages.map((message, index) => at(index).claims.update(claim, { leaseUntil: start + index }, { tell: [message] })),
    )
    const winner = changed.findIndex((answer) => answer !== undefined)
    expect(changed.filter((answer) => answer !== undefined)).toEqual([await claims.find(claim.id)])
    expect((await taken(outbox, topic)).map(({ id }) => id)).toEqual([messages[winner]?.id])
  })

  it('gets what a slot has to tell when the slot changes, and nothing from who lost its lease', async () => {
    verifies('H43')
    const { journal, outbox } = at(0)
    expect(journal.outbox).toBe(outbox)
    const held = await leased(journal, newLane())
    const riders = await Promise.all(Array.from({ length: 3 }, () => began(journal, newSettlement())))
    const key = { network: held.network, signer: held.signer, nonce: 0n }
    await journal.prepare(held, signed(held, 0n), { payments: riders.map(({ id }) => id), now: start })
    const outcomes = new Map(riders.map(({ id }) => [id, settledWith(id)]))
    const topic = unique()
    const tell = riders.map(() => newMessage({ topic }))
    const stale = { ...held, epoch: held.epoch + 1 }
    expect(await journal.resolve(stale, key, { state: 'mined', outcomes, now: start, tell })).toBe(false)
    expect(await taken(at(1).outbox, topic)).toEqual([])
    expect(await journal.resolve(held, key, { state: 'mined', outcomes, now: start, tell })).toBe(true)
    expect((await taken(at(1).outbox, topic)).map(({ id }) => id).sort()).toEqual(tell.map(({ id }) => id).sort())
  })
}

function testTellers(suite: StoreSuite, startProcess: () => Promise<StoreProcess>, request: () => ClaimRequest): void {
  const processes: StoreProcess[] = []
  const started = async (): Promise<StoreProcess> => {
    const process = await startProcess()
    processes.push(process)
    return process
  }
  const opened = async (): Promise<Required<OpenedStore>> =>
    // As in `testOutbox`.
    (await suite.open()) as Required<OpenedStore>
  afterAll(() => Promise.all(processes.map(({ kill }) => kill())))

  it('has a message for each claim that was changed, and none for any other, when their process is killed', {
    timeout: 120_000,
  }, async () => {
    verifies(['H43', 'H21'])
    const writer = await started()
    const topic = unique()
    const requests = Array.from({ length: 300 }, request)
    let [answered, enough] = [0, () => {}]
    const killed = new Promise<void>((resolve) => {
      enough = resolve
    }).then(() => writer.kill())
    const written = requests.map(async (asked) => {
      const { claim } = await writer.claims.claim(asked, { maxAttempts })
      await writer.claims.update(claim, { state: 'settled' }, { tell: [newMessage({ topic, id: `told ${claim.id}` })] })
      answered += 1
      if (answered > 40) enough()
    })
    await Promise.allSettled([...written, killed])
    await suite.crash?.()

    const store = await opened()
    const found = await Promise.all(requests.map(({ key }) => store.claims.find(key.id)))
    const settled = found.filter((claim): claim is Claim => claim?.state === 'settled').map(({ id }) => `told ${id}`)
    expect(settled.length).toBeGreaterThanOrEqual(answered)
    expect((await taken(store.outbox, topic)).map(({ id }) => id).sort()).toEqual(settled.sort())
    await store.close()
  })

  it('gives each message to one of two processes, and to the other when that is killed', { timeout: 120_000 }, async () => {
    verifies(['H43', 'M6'])
    const [first, second] = await Promise.all([started(), started()])
    const topic = unique()
    const messages = Array.from({ length: 60 }, () => newMessage({ topic }))
    await first.outbox.put(messages)
    const ours = (taken: readonly Message[]) => taken.filter((message) => message.topic === topic)
    const mine: Message[] = []
    const theirs: Message[] = []
    for (let round = 0; round < 200 && mine.length + theirs.length < 60; round += 1) {
      const [a, b] = await Promise.all([first, second].map(({ outbox }) => outbox.take({ now: start, until, most: 9 })))
      mine.push(...ours(a ?? []))
      theirs.push(...ours(b ?? []))
    }
    expect(new Set([...mine, ...theirs].map(({ id }) => id)).size).toBe(60)
    expect(mine.length + theirs.length).toBe(60)
    for (const message of theirs) await second.outbox.done(message, start)
    await first.kill()
    expect(ours(await second.outbox.take({ now: until - 1, until, most }))).toEqual([])
    const over = ours(await second.outbox.take({ now: until, until: until + 1000, most }))
    expect(over.map(({ id }) => id).sort()).toEqual(mine.map(({ id }) => id).sort())
    expect(over.every(({ attempts }) => attempts === 2)).toBe(true)
  })
}

async function taken(outbox: OutboxStore, topic: string, now = start, due = until): Promise<readonly Message[]> {
  return (await outbox.take({ now, until: due, most })).filter((message) => message.topic === topic)
}

function one(messages: readonly Message[]): Message {
  const [message, ...more] = messages
  expect(more).toEqual([])
  if (message === undefined) throw new Error('a message was due')
  return message
}

function newMessage({ id = unique(), topic = unique(), body = '{}', createdAt = start }: Partial<NewMessage> = {}): NewMessage {
  return { id, topic, body, createdAt }
}
