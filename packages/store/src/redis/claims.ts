import type { Claim, ClaimRequest, ClaimStore, LogStore } from '@flow402x/core'
import { defaultRetention, isUndelivered, type RetentionOptions, sweepSeldom } from '@flow402x/core/memory'
import { claimColumns, progressColumns, purseOf, readClaim, writeClaim, writeProgress } from '../claims/record.ts'
import type { RedisConnection } from './connection.ts'
import { claimScript, firstScript, forgetScript, purseScript, removeScript, secretScript, unlistScript, updateScript } from './scripts.ts'
import { allSlots, slotOf, slots, slotTag } from './slots.ts'

type Fields = Readonly<Record<string, unknown>>

// How long a purse believes a claim that it does not find yet.
const purseLease = 10_000
const mostInPurse = 64

/**
 * Claims in Redis. What makes a payment itself, its id, chooses the slot, so that a claim and the lists of what is unfinished
 * and ended change in one script. What a payer looks for (the payment that an id names, purchases that were not delivered)
 * stands in slots of the payer: it is written before a claim comes to count on it and read with the claim's own word.
 */
export function redisClaims(connection: RedisConnection, { retention = defaultRetention }: RetentionOptions): ClaimStore {
  const { client, run } = connection
  const keys = claimKeys(connection.prefix)

  async function find(id: string): Promise<Found | undefined> {
    return found(await client.hgetallBuffer(keys.claim(id)))
  }

  async function forget(claim: Claim): Promise<number> {
    const { id, payer, binding, secret, epoch } = claim
    if (secret !== undefined) await run(forgetScript, { keys: [keys.name(payer, secret)], values: [id] })
    await run(unlistScript, { keys: [keys.undelivered(payer, binding)], values: [id, epoch] })
    return Number(await run(removeScript, { keys: keys.own(id), values: [id, epoch] }))
  }

  async function sweepSlot(slot: number, { now, limit }: { readonly now: number; readonly limit: number }): Promise<number> {
    const ids = await client.zrangebyscore(keys.ended(slot), '-inf', `(${(now - retention) / 1000}`, 'LIMIT', 0, limit)
    let forgotten = 0
    for (const id of ids) {
      const ended = await find(id)
      if (ended !== undefined) forgotten += await forget(ended.claim)
    }
    return forgotten
  }

  const seldom = sweepSeldom((now, limit) => Promise.all(allSlots.map((slot) => sweepSlot(slot, { now, limit: Math.ceil(limit / slots) }))))

  async function unlist({ id, payer, binding }: Claim, epoch: number): Promise<void> {
    await run(unlistScript, { keys: [keys.undelivered(payer, binding)], values: [id, epoch] })
  }

  /** The claim that the payer's payment id names, where it is another than this one; else the id names this one from now on. */
  async function namedBefore({ id, payer }: Claim, secret: string): Promise<Claim | undefined> {
    const name = keys.name(payer, secret)
    for (;;) {
      const owner = String(await run(firstScript, { keys: [name], values: [id] }))
      if (owner === id) return undefined
      const other = await find(owner)
      if (other !== undefined) return other.claim
      // The other was forgotten between the two looks at it.
      await run(forgetScript, { keys: [name], values: [owner] })
    }
  }

  async function update(claim: Claim, change: Parameters<ClaimStore['update']>[1]): Promise<Claim | undefined> {
    const next = { ...claim, ...change, epoch: claim.epoch + 1 }
    if (isOwed(next) && !isOwed(claim)) await client.hset(keys.undelivered(claim.payer, claim.binding), claim.id, next.epoch)
    const fields = pairs(progressColumns, writeProgress(next, change))
    const values = [claim.id, claim.state, claim.epoch, next.state, next.leaseUntil, next.deadAfter, ...fields]
    if ((await run(updateScript, { keys: keys.own(claim.id), values })) !== 1) return undefined
    if (isOwed(claim) && !isOwed(next)) await unlist(claim, claim.epoch)
    return next
  }

  /**
   * Sets the amount of a claim aside in its payer's purse, if what the payer holds allows it (M8). Nothing is taken out when a claim
   * ends: whoever finds too much in a purse looks which of it still counts.
   */
  async function setAside(request: ClaimRequest): Promise<boolean> {
    const { key, submission, now, funds } = request
    if (funds === undefined) return true
    const purse = keys.purse(key.payer, purseOf(submission))
    for (;;) {
      const { '': version = '0', [key.id]: _, ...entries } = await client.hgetall(purse)
      const others = Object.entries(entries).map(([id, text]) => ({ id, ...readEntry(text) }))
      const spoken = others.reduce((sum, { amount }) => sum + amount, BigInt(submission.requirements.amount))
      const isTooMuch = spoken > funds.held
      if (isTooMuch || others.length > mostInPurse) {
        const standing = await Promise.all(others.map(({ id }) => find(id)))
        const over = others.filter((entry, index) => !countsIn(standing[index]?.claim, { entry, now, since: funds.since }))
        for (const { id } of over) await run(purseScript, { keys: [purse], values: [await versionOf(purse), id, ''] })
        if (over.length > 0) continue
        if (isTooMuch) return false
      }
      const entry = `${submission.requirements.amount} ${now}`
      if ((await run(purseScript, { keys: [purse], values: [version, key.id, entry] })) === 1) return true
    }
  }

  async function versionOf(purse: string): Promise<string> {
    return (await client.hget(purse, '')) ?? '0'
  }

  return {
    update,
    async claim(request, { maxAttempts }) {
      const { key, now, funds: _, ...held } = request
      await seldom(now)
      if (!(await setAside(request))) {
        const claim = (await find(key.id))?.claim
        const fresh = { id: key.id, payer: key.payer, deadAfter: key.deadAfter, ...held, state: 'open', epoch: 0, attempts: 0 } as const
        if (claim === undefined || claim.state === 'open') return { granted: false, overdrawn: true, claim: claim ?? fresh }
      }
      const fresh: Claim = { id: key.id, payer: key.payer, deadAfter: key.deadAfter, ...held, state: 'claimed', epoch: 1, attempts: 1 }
      const asked = [
        key.id,
        held.binding,
        maxAttempts,
        held.claimId,
        held.leaseUntil,
        JSON.stringify(held.submission),
        committedText(held),
        held.holder ?? '',
      ]
      const fields = [...pairs(claimColumns, writeClaim(fresh)), 'created_at', now]
      const [claimKey, unfinishedKey] = keys.own(key.id)
      const answer = await run(claimScript, { keys: [claimKey, unfinishedKey], values: [...asked, ...fields] })
      const { granted, standing } = readAnswer(answer)
      const claim = standing ?? fresh
      const isNamed = standing?.secret !== undefined
      if (!granted || held.secret === undefined || isNamed) {
        return { granted, claim }
      }
      const other = await namedBefore(claim, held.secret)
      if (other === undefined) {
        if (standing === undefined) return { granted, claim }
        await run(secretScript, { keys: [claimKey], values: [claim.epoch, held.secret] })
        return { granted, claim: { ...claim, secret: held.secret } }
      }
      if (claim.attempts > 1) await update(claim, { state: 'open', leaseUntil: 0, attempts: claim.attempts - 1 })
      else await run(removeScript, { keys: keys.own(claim.id), values: [claim.id, claim.epoch] })
      return { granted: false, claim: other }
    },
    async find(id) {
      return (await find(id))?.claim
    },
    async undelivered(payer, binding, options) {
      const listed = Object.entries(await client.hgetall(keys.undelivered(payer, binding)))
      const standing = await Promise.all(listed.map(([id]) => find(id)))
      for (const [index, [, epoch]] of listed.entries()) {
        const claim = standing[index]?.claim
        if (claim !== undefined && !isOwed(claim) && claim.epoch >= Number(epoch)) await unlist(claim, Number(epoch))
      }
      const left = standing.filter((one) => one !== undefined && isUndelivered(one.claim, options))
      const paid = left.filter((one) => one?.claim.state !== 'open')
      return (paid.length > 0 ? paid : left).sort((a, b) => (a?.createdAt ?? 0) - (b?.createdAt ?? 0))[0]?.claim
    },
    async *unfinished({ now }) {
      for (const slot of allSlots) {
        for (const id of await client.zrangebyscore(keys.unfinished(slot), '-inf', now)) {
          const left = await find(id)
          if (left !== undefined && left.claim.leaseUntil <= now && left.claim.state !== 'delivered' && left.claim.state !== 'failed')
            yield left.claim
        }
      }
    },
    async *settlements({ since }) {
      for (const slot of allSlots) {
        for (const id of await client.zrangebyscore(keys.settled(slot), since, '+inf')) {
          const settled = await find(id)
          if (settled !== undefined) yield settled.claim
        }
      }
    },
    async *vouched() {
      for (const slot of allSlots) {
        for (const id of await client.smembers(keys.vouched(slot))) {
          const standing = await find(id)
          if (standing !== undefined) yield standing.claim
        }
      }
    },
    async purge(now) {
      const forgotten = await Promise.all(allSlots.map((slot) => sweepSlot(slot, { now, limit: Number.MAX_SAFE_INTEGER })))
      return forgotten.reduce((sum, count) => sum + count, 0)
    },
  }
}

/** The logs that paid, in Redis: one key each, for ever. */
export function redisLogs({ prefix, run }: RedisConnection): LogStore {
  return {
    async consume({ network, transaction, logIndex }, key) {
      const log = JSON.stringify([network, transaction, logIndex])
      return String(await run(firstScript, { keys: [`${slotTag(prefix, slotOf(log))}log:${log}`], values: [key] })) === key
    },
  }
}

type Found = { readonly claim: Claim; readonly createdAt: number }

/** Whether a claim may come to be what `undelivered` looks for without another change of its state. */
function isOwed({ state, response }: Claim): boolean {
  return state === 'settling' || state === 'settled' || (state === 'open' && response !== undefined)
}

function committedText({ committed }: Pick<Claim, 'committed'>): string {
  return committed === undefined ? '' : String(Number(committed))
}

type Entry = { readonly amount: bigint; readonly at: number }

function readEntry(text: string): Entry {
  const [amount = '0', at = '0'] = text.split(' ')
  return { amount: BigInt(amount), at: Number(at) }
}

/** Whether an entry of a purse still counts; one whose claim is not written yet does for a while. */
function countsIn(claim: Claim | undefined, { entry, now, since }: { entry: Entry; now: number; since: number }): boolean {
  if (claim === undefined || claim.state === 'open') return now - entry.at < purseLease
  return claim.state === 'claimed' || claim.state === 'settling' || (claim.settledAt ?? 0) > since
}

function claimKeys(prefix: string) {
  const tag = (slot: number): string => slotTag(prefix, slot)
  const of = (kind: string, [first, second]: readonly [string, string]): string =>
    `${tag(slotOf(first))}${kind}:${JSON.stringify([first, second])}`
  return {
    claim: (id: string): string => `${tag(slotOf(id))}claim:${id}`,
    unfinished: (slot: number): string => `${tag(slot)}unfinished`,
    ended: (slot: number): string => `${tag(slot)}ended`,
    name: (payer: string, secret: string): string => of('name', [payer, secret]),
    undelivered: (payer: string, binding: string): string => of('undelivered', [payer, binding]),
    settled: (slot: number): string => `${tag(slot)}settled`,
    vouched: (slot: number): string => `${tag(slot)}vouched`,
    purse: (payer: string, purse: string): string => of('purse', [payer, purse]),
    own(id: string): readonly [string, string, string, string, string] {
      const slot = slotOf(id)
      return [this.claim(id), this.unfinished(slot), this.ended(slot), this.settled(slot), this.vouched(slot)]
    },
  }
}

function pairs<Value>(names: readonly string[], values: readonly (Value | null)[]): (Value | string)[] {
  return names.flatMap((name, index) => {
    const value = values[index]
    return value == null ? [] : [name, value]
  })
}

function found(fields: Readonly<Record<string, Buffer>>): Found | undefined {
  if (fields.id === undefined) return undefined
  const columns: Fields = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, name === 'response_body' ? value : value.toString()]),
  )
  return { claim: readClaim(columns), createdAt: Number(columns.created_at) }
}

/** What the claim script gives: whether it was granted, and the fields of what stood before. */
function readAnswer(answer: unknown): { readonly granted: boolean; readonly standing: Claim | undefined } {
  const [granted, flat]: unknown[] = Array.isArray(answer) ? answer : []
  const fields: Record<string, Buffer> = {}
  const list: unknown[] = Array.isArray(flat) ? flat : []
  for (let index = 0; index + 1 < list.length; index += 2) {
    const value = list[index + 1]
    if (Buffer.isBuffer(value)) fields[String(list[index])] = value
  }
  return { granted: granted === 1, standing: found(fields)?.claim }
}
