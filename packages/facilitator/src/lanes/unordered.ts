import type { SignerLease } from '@flow402x/core'
import { createRounds } from './rounds.ts'
import type { Slots } from './slots.ts'
import { createSteps, type Open, type SlotsOptions, unanswered } from './steps.ts'

// Transactions without an order get lost on their way more often than they fail: they are sent again at about the pace of a few
// blocks. An answer that did not come is asked for sooner.
const againAfter = 2000
const soonest = 50
// A chain of this kind makes a block every 400 ms: one is looked for twice as often at first, and never seldomer.
const fastest = 200
const patient = 400
// Adapters ask for many transactions at once.
const atOnce = 256
// Room for as many numbers as one holder of a lease will ever take.
const perEpoch = 1n << 40n

/**
 * The slots of a signer whose transactions stand by themselves: any number under way, each sent again until it is mined or expired,
 * never replaced, and none waits for another.
 */
export function createUnorderedSlots(options: SlotsOptions): Slots {
  const { hold, onEvent, writer } = options
  let open: Open[] = []
  let count = 0n
  const steps = createSteps(options, (slot) => open.push(steps.opened(slot)))
  const { mined } = steps
  const waiting = (): boolean => open.length > 0 || mined.doubted
  const rounds = createRounds({ look, waiting, sleeping: () => mined.any, onEvent, network: writer.network, fastest, patient })

  return {
    get open() {
      return open.length
    },
    blocked: false,
    // Every holder has an epoch of its own for ever, so no number is used twice, whatever the journal has forgotten.
    async nonce({ epoch }: SignerLease) {
      count += 1n
      return BigInt(epoch) * perEpoch + count
    },
    doubt() {},
    load(slots) {
      steps.pass(open)
      open = slots.filter(({ state }) => state === 'open').map(steps.opened)
      mined.load(slots)
      rounds.poke()
    },
    async send(slot) {
      const one = steps.opened(slot)
      open.push(one)
      rounds.start()
      void steps.send(one)
    },
    poke: rounds.poke,
    stop: rounds.stop,
  }

  function nothing(): undefined {
    options.idle()
  }

  async function look(): Promise<number | undefined> {
    if (open.length === 0 && !mined.due) return nothing()
    if (!(await hold.take())) {
      steps.pass(open)
      open = []
      return nothing()
    }
    const all = [...open]
    for (let at = 0; at < all.length; at += atOnce) await Promise.all(all.slice(at, at + atOnce).map(tend))
    if (mined.due) await mined.close()
    if (open.length === 0) nothing()
    const gone = all.find((one) => !open.includes(one))
    return gone && performance.now() - gone.signedAt
  }

  async function tend(one: Open): Promise<void> {
    const seen = await steps.sight.see(one.slot)
    const done =
      (seen?.state === 'mined' && (await steps.finish(one, seen))) ||
      (seen?.state === 'expired' && (await steps.end(one.slot, await steps.judge.expired(one.slot))))
    if (done) open = open.filter((other) => other !== one)
    else if (seen?.state !== 'mined' && performance.now() - one.sentAt > paceOf(one)) await steps.send(one)
  }
}

function paceOf({ delivered, sending, sends }: Open): number {
  if (delivered) return againAfter
  return sending ? unanswered : Math.min(soonest * 2 ** sends, againAfter)
}
