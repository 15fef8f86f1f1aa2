import type { Asked, Extension, ExtensionDeclaration, Outcome } from '@flow402x/core'
import type { PaidOptions, Quote } from '../engine/offers.ts'
import type { Engine } from '../engine/server.ts'

/** The extensions of a route's 402s: the server's own, the route's, and those that help to pay its offers. */
export function extensionsOf({ extensions }: Engine, route: PaidOptions, { offers }: Pick<Quote, 'offers'>): readonly Extension[] {
  return [...extensions, ...(route.extensions ?? []), ...offers.flatMap(({ served }) => served.extensions)]
}

/** What extensions say in a 402, by key. */
export type Said = Readonly<Record<string, ExtensionDeclaration>>

// A payment echoes the extensions within 8 kB that also hold its terms and its payload, so that they alone may not fill a 402 (H27).
const mostLetters = 3072

/**
 * What extensions say, from all that there is to say to the least: what they say anew in each 402 goes first, then what can be said
 * briefly. What is too long to be echoed is left out but where there is nothing shorter.
 */
export function waysToSay(extensions: readonly Extension[], asked: Said = {}): readonly Said[] {
  const whole = said(extensions, (extension) => extension.declare())
  const brief = said(extensions, (extension) => extension.brief?.() ?? extension.declare())
  const ways = [{ ...whole, ...asked }, whole, { ...brief, ...asked }, brief]
  return [...ways.filter((way) => JSON.stringify(way).length <= mostLetters), brief]
}

/** What the extensions say in this one 402; nothing where none of them does. One that fails says what it always says. */
export async function askExtensions(
  extensions: readonly Extension[],
  { asked, engine }: { readonly asked: Asked; readonly engine: Engine },
): Promise<Said | undefined> {
  const answers = await Promise.all(
    extensions.map(async (extension) => {
      const answer = extension.ask === undefined ? undefined : await tried(engine, extension.ask(asked))
      return answer === undefined ? [] : [[extension.key, answer] as const]
    }),
  )
  const entries = answers.flat()
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** One payment that moved, as the server itself knows it, and the route it was for; `at` in Unix milliseconds. */
export type Paid = {
  readonly url: string
  readonly options: PaidOptions
  readonly payer: string
  readonly network: string
  readonly at: number
}

/** An outcome with what the extensions of its route tell its payer. */
export async function withReceipts(engine: Engine, outcome: Outcome, { url, options, payer, network, at }: Paid): Promise<Outcome> {
  if (outcome.status !== 'settled' || !(engine.extensions.some(tells) || options.extensions?.some(tells))) return outcome
  const extensions = [...engine.extensions, ...(options.extensions ?? [])]
  const sold = { url, payer, network, transaction: outcome.transaction, at: Math.floor(at / 1000) }
  const receipts = await Promise.all(
    extensions.map(async ({ key, receipt }) => [key, receipt === undefined ? undefined : await tried(engine, receipt(sold))] as const),
  )
  return {
    ...outcome,
    extensions: { ...outcome.extensions, ...Object.fromEntries(receipts.filter(([, receipt]) => receipt !== undefined)) },
  }
}

function tells({ receipt }: Extension): boolean {
  return receipt !== undefined
}

// A signer that cannot be reached must not hold back what was paid for.
const patience = 5_000

async function tried<Value>(engine: Engine, work: Promise<Value>): Promise<Value | undefined> {
  let late: ReturnType<typeof setTimeout> | undefined
  const overdue = new Promise<undefined>((resolve) => {
    late = setTimeout(() => resolve(undefined), patience)
  })
  try {
    return await Promise.race([work, overdue])
  } catch (error) {
    engine.emit({ type: 'error', error })
    return undefined
  } finally {
    clearTimeout(late)
  }
}

function said(extensions: readonly Extension[], say: (extension: Extension) => ExtensionDeclaration): Said {
  return Object.fromEntries(extensions.map((extension) => [extension.key, say(extension)]))
}
