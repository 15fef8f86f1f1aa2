import { setTimeout as wait } from 'node:timers/promises'
import { inspect } from 'node:util'
import { entriesOf, isAtRest, transfersTo } from '../world/books.ts'
import { buy, type Habit } from '../world/buyer.ts'
import type { World } from '../world/world.ts'
import type { Row } from './rows.ts'

/** What one crash came to. */
export type Result = {
  /** What the books of the process that died say of the payment when it is started again. */
  readonly found: string
  /** What the buyer had in the end. */
  readonly got: string
  /** How often the handler ran. */
  readonly runs: number
  /** How often the buyer's money moved. */
  readonly transfers: number
  /** How the claims of all payments that were sent ended, in the order they were sent. */
  readonly claims: string
}

const endsWithin = 60_000

/** Lets a process die at this step of a purchase, starts it again, and says what came of it when everything is at rest. */
export async function crash(world: World, row: Row, habit: Habit): Promise<Result> {
  const part = world[row.process]
  const wallet = await world.newPayer()
  const url = world.newUrl()
  let isBack = (): void => {}
  const back = new Promise<void>((resolve) => {
    isBack = resolve
  })
  const late = new AbortController()
  const trap = row.ours === undefined ? row.trap : { ...row.trap, where: { signer: world.signer } }
  await part.arm({ ...trap, about: [...world.rail.spells(wallet, world.signer), new URL(url).pathname] })
  const purchase = buy(habit, { scheme: world.rail.client(wallet), url, back, signal: late.signal })
  await part.died()
  const found = (await entriesOf(world, purchase.payments.values())).at(0)
  await part.restart()
  const boot = performance.now()
  isBack()
  const giveUp = setTimeout(() => late.abort(), endsWithin)
  const got = await purchase.got
  clearTimeout(giveUp)
  const payments = [...purchase.payments.values()]
  while (!(await isAtRest(world, payments))) {
    if (performance.now() > boot + endsWithin)
      throw new Error(`After a minute there is: ${inspect(await entriesOf(world, payments), { depth: null })}`)
    await wait(50)
  }
  const entries = await entriesOf(world, payments)
  const transfers = (await transfersTo(world)).filter(({ from }) => from === wallet.address)
  return {
    found: row.process === 'seller' ? (found?.claim?.state ?? 'nothing') : journalState(found?.settlement),
    got,
    runs: world.log().filter((line) => line === `ran ${new URL(url).pathname}`).length,
    transfers: transfers.length,
    claims: entries.map(({ claim }) => claim?.state ?? 'none').join(', '),
  }
}

function journalState(settlement: { readonly slot?: unknown; readonly outcome?: { readonly status: string } } | undefined): string {
  if (settlement === undefined) return 'nothing'
  return settlement.outcome?.status ?? (settlement.slot === undefined ? 'queued' : 'signed')
}
