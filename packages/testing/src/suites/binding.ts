import type { ClientScheme, Facilitator, PaymentFlow, ServerScheme } from '@flow402x/core'
import type { Page } from '@flow402x/core/page'
import { afterAll, beforeAll, describe } from 'vitest'
import { type AnsweringFacilitator, answeringFacilitator } from './answering-facilitator.ts'
import { testBindingAliases } from './bindings/aliases.ts'
import { testBindingBodies } from './bindings/bodies.ts'
import { testBindingClaims } from './bindings/claims.ts'
import { suitePage, testBindingPage } from './bindings/page.ts'
import { type TransferLedger, testBindingPlain, transferLedger } from './bindings/plain.ts'
import { testBindingTable } from './bindings/table.ts'

/** What a handler does, each by the means of its own framework. */
export type Behaviour =
  | 'json'
  | 'empty'
  | 'redirect'
  | 'notModified'
  | 'notFound'
  | 'broken'
  | 'throws'
  | 'rejects'
  | 'hangs'
  | 'streams'
  | 'large'
  | 'cookies'
  | 'early'
  | 'echo'

/** A paid route: its handler calls `stage.enter(path)` and behaves as it is told. `GET` routes answer `HEAD` as well. */
export type BindingRoute = {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly options: { readonly price: string; readonly flow: PaymentFlow; readonly handlerTimeout?: number }
}

/**
 * What the suite gives to a binding. Handlers answer with `goods`:
 * `json` 200 `goods.json` · `empty` 204 · `redirect` 302 to `/elsewhere` · `notModified` 304 with `ETag: "goods"` ·
 * `notFound` 404 and `broken` 500 with `goods.json` · `throws` at once, `rejects` after an await, `hangs` for ever ·
 * `streams` each of `goods.chunks`, waiting for `gate()` after the first · `large` 200 `goods.large` · `cookies` as `json` with
 * `Set-Cookie: a=1`, `Set-Cookie: b=2`, `X-Goods: secret` and `Settlement-Overrides: {"amount":"1"}` · `early` as `json`, sending what the framework can before:
 * 103 or flushed headers · `echo` 200 with the bytes of the request body.
 */
export type BindingStage = {
  /** What the binding's server is made of, beside its store. */
  readonly seller: {
    readonly facilitator: Facilitator
    readonly schemes: readonly ServerScheme[]
    readonly page: Page
    readonly unpaidWork: { readonly most: number }
    readonly onEvent: (event: { readonly type: string }) => void
  }
  readonly routes: readonly BindingRoute[]
  /** Counts a run of a route's handler and says how it is to behave. */
  enter(path: string): Behaviour
  gate(): Promise<void>
  readonly goods: typeof goods
}

/** A binding to be proved: `mount` serves the stage's routes on a loopback socket. */
export type BindingSuite = {
  readonly name: string
  readonly scheme: ServerScheme
  readonly payer: ClientScheme
  mount(stage: BindingStage): Promise<{ readonly url: string; close(): Promise<void> }>
}

/** What the parts of the suite share: the mounted binding, and the strings by which its handlers are pulled. */
export type Bench = {
  readonly payer: ClientScheme
  readonly facilitator: AnsweringFacilitator
  /** What the plain challenge is paid in. */
  readonly ledger: TransferLedger
  url(path: string): string
  /** How handlers behave from now on. */
  behave(behaviour: Behaviour): void
  /** How often handlers ran since the last `reset`. */
  runs(): number
  /** How often an event came since the last `reset`. */
  events(type: string): number
  /** Closes the gate that streams wait for; the result opens it. */
  closeGate(): () => void
  reset(): void
}

const goods = {
  json: { weather: 'fair' },
  chunks: ['one ', 'two ', 'three'],
  large: Uint8Array.from({ length: 1_500_000 }, (_, index) => (index * 31) % 251),
} as const

const routes: readonly BindingRoute[] = (['authorization', 'upfront'] as const).flatMap((flow) => [
  { method: 'GET', path: `/${flow}`, options: { price: '$0.01', flow } },
  { method: 'POST', path: `/${flow}/echo`, options: { price: '$0.01', flow } },
  { method: 'GET', path: `/${flow}/brief`, options: { price: '$0.01', flow, handlerTimeout: 150 } },
])

/** One list for all bindings: what leaves on the wire, how often the handler runs and how often money is asked for. */
export function testBinding({ name, scheme, payer, mount }: BindingSuite): void {
  describe(`${name} binding`, () => {
    const { stage, bench, attach } = makeBench(scheme, payer)
    let mounted: Awaited<ReturnType<typeof mount>> | undefined
    beforeAll(async () => {
      mounted = await mount(stage)
      attach(mounted.url)
    })
    afterAll(() => mounted?.close())
    testBindingTable(bench)
    testBindingClaims(bench)
    testBindingBodies(bench)
    testBindingPlain(bench)
    testBindingAliases(bench)
    testBindingPage(bench)
  })
}

function makeBench(scheme: ServerScheme, payer: ClientScheme) {
  const facilitator = answeringFacilitator(scheme)
  const ledger = transferLedger(scheme.network)
  const seen = new Map<string, number>()
  let [origin, behaviour, runs]: [string, Behaviour, number] = ['', 'json', 0]
  let gate = Promise.resolve()
  const stage: BindingStage = {
    // Its one buyer is refused more often than any seller would bear.
    seller: {
      facilitator,
      schemes: [scheme, ledger.scheme],
      page: suitePage,
      unpaidWork: { most: 1_000_000 },
      onEvent: ({ type }) => seen.set(type, (seen.get(type) ?? 0) + 1),
    },
    routes,
    enter() {
      runs += 1
      return behaviour
    },
    gate: () => gate,
    goods,
  }
  const bench: Bench = {
    payer,
    facilitator,
    ledger,
    url: (path) => `${origin}${path}`,
    behave(next) {
      behaviour = next
    },
    runs: () => runs,
    events: (type) => seen.get(type) ?? 0,
    closeGate() {
      let open = () => {}
      gate = new Promise((resolve) => {
        open = resolve
      })
      return open
    },
    reset() {
      facilitator.answer = 'ok'
      facilitator.settled.length = 0
      facilitator.verified.length = 0
      gate = Promise.resolve()
      runs = 0
      seen.clear()
    },
  }
  const attach = (url: string) => {
    origin = url
  }
  return { stage, bench, attach }
}
