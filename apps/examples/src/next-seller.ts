// A seller in Next's app router, as the routes of `next.soak.test.ts` import it.
import { batchSettlementServer, exactEvmServer } from '@flow402x/adapters-evm/server'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/next'
import { memoryStore } from '@flow402x/store/memory'
import { streamed, ticks } from '@flow402x/stream/next'
import { createStreams } from '@flow402x/stream/server'

type Handler = (request: Request, context: { readonly params: Promise<Record<string, string>> }) => Promise<Response>

/** The handlers of each route, and how many sources deliver now. */
export type NextShop = { readonly weather: Handler; readonly live: Handler; readonly tick: Handler; sources(): number }

function openShop({ NETWORK = '', RPC_URL = '', PAY_TO = '', FACILITATOR_URL = '' }: NodeJS.ProcessEnv): NextShop {
  // A real seller has a file or a database here, which several processes can share.
  const store = memoryStore({ force: true })
  const facilitator = httpFacilitator(FACILITATOR_URL)
  const server = createServer({ facilitator, store, schemes: [exactEvmServer({ network: NETWORK, payTo: PAY_TO })] })
  const scheme = batchSettlementServer({ network: NETWORK, payTo: PAY_TO, rpcUrl: RPC_URL, store })
  const route = createStreams({ schemes: [scheme], facilitator, store }).route({ rate: '0.01 USD/second', tickUrl: '/live/tick' })
  let open = 0
  const weather = paid(server, { price: '$0.01' }, async (request: Request, { params }: { params: Promise<Record<string, string>> }) => {
    const { place } = await params
    return Response.json({ place, sky: 'fair', asked: await request.text() })
  })
  const live = streamed(route, async function* () {
    open += 1
    try {
      for (let count = 0; ; count += 1) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        yield `${count}`
      }
    } finally {
      open -= 1
    }
  })
  return { weather, live, tick: ticks(route), sources: () => open }
}

/** The one shop of this process: Next may load a module once for each route, and a lane lives in the shop that opened it. */
export function shop(): NextShop {
  // Nothing else writes under this name.
  const here = globalThis as typeof globalThis & { nextShop?: NextShop }
  here.nextShop ??= openShop(process.env)
  return here.nextShop
}
