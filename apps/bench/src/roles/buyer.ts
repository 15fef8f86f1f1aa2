import { mppxFetch } from '../houses/mppx.ts'
import { officialFetch } from '../houses/official.ts'
import { ourFetch } from '../houses/ours.ts'
import type { House } from '../houses/terms.ts'
import { inFlight, playRole, roleArgument } from '../measure/part.ts'

/** Who pays; the floor fetches without paying. Ours may remember what routes asked. */
export type BuyerArgument = { readonly house: House | 'mppx' | 'floor'; readonly key: string; readonly remembers?: boolean }

/** What to buy, how often, and how much of it at once. */
export type Shopping = { readonly url: string; readonly count: number; readonly most: number }

/** What came of it; latencies in milliseconds. `trips` counts the requests of a buyer of ours. */
export type Bought = {
  readonly trips: number
  readonly seconds: number
  readonly latencies: readonly number[]
  readonly failures: Readonly<Record<string, number>>
}

/** What a buyer is asked. */
export type BuyerCalls = { buy(shopping: Shopping): Promise<Bought> }

const { house, key, remembers = false } = roleArgument<BuyerArgument>()
let trips = 0
const counting: typeof fetch = (input, init) => {
  trips += 1
  return fetch(input, init)
}
const fetches = {
  ours: () => ourFetch(key, { remembers, fetch: counting }),
  official: () => officialFetch(key),
  mppx: () => mppxFetch(key),
  floor: () => fetch,
}
const get: (url: string) => Promise<Response> = fetches[house]()

playRole(
  {},
  {
    async buy({ url, count, most }: Shopping): Promise<Bought> {
      const latencies: number[] = []
      const failures: Record<string, number> = {}
      trips = 0
      const began = performance.now()
      await inFlight({ count, most }, async () => {
        const start = performance.now()
        const outcome = await get(url).then(
          async (response) => {
            const text = await response.text()
            return response.ok ? '200' : `${response.status} ${reasonOf(response, text)}`
          },
          (error: unknown) => (error instanceof Error ? error.message.slice(0, 200) : 'unknown'),
        )
        if (outcome === '200') latencies.push(performance.now() - start)
        else failures[outcome] = (failures[outcome] ?? 0) + 1
      })
      return { trips, seconds: (performance.now() - began) / 1000, latencies, failures }
    },
  },
)

function reasonOf(response: Response, text: string): string {
  const receipt = response.headers.get('PAYMENT-RESPONSE') ?? response.headers.get('PAYMENT-REQUIRED')
  return `${text.slice(0, 200)} ${receipt === null ? '' : Buffer.from(receipt, 'base64').toString().slice(0, 300)}`
}
