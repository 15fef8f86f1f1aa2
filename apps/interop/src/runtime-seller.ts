// A seller for runtimes that are not Node: the web platform and nothing else. Bundled with what stands in capitals.
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/fetch'
import { memoryStore } from '@flow402x/store/memory'

declare const FACILITATOR_URL: string
declare const PAY_TO: string

const server = createServer({
  facilitator: httpFacilitator(FACILITATOR_URL),
  store: memoryStore({ force: true }),
  schemes: [exactEvmServer({ network: 'base-sepolia', payTo: PAY_TO })],
})

/** Gives back what it was sent, for a cent. */
export const sell: (request: Request) => Promise<Response> = paid(server, { price: '$0.01' }, async (request) =>
  Response.json({ runtime: globalThis.navigator?.userAgent ?? 'unknown', body: await request.text() }),
)

/** Gives back what it was sent in pieces, for two cents that were paid before. */
export const stream: (request: Request) => Promise<Response> = paid(server, { price: '$0.02', flow: 'upfront' }, (request) => {
  const words = new URL(request.url).searchParams.getAll('word')
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const word of words) controller.enqueue(new TextEncoder().encode(word))
        controller.close()
      },
    }),
  )
})
