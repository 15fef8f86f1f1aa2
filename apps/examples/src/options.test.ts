import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'

const root = new URL('../../../', import.meta.url)
const read = (path: string) => readFile(new URL(path, root), 'utf8')

/** The names of what an object of this declaration has. */
async function fieldsOf(path: string, declaration: string): Promise<string[]> {
  const [, rest = ''] = (await read(path)).split(`export ${declaration} =`)
  const [body = ''] = rest.split(/^\S/m)
  return [...body.matchAll(/^\s+(?:readonly )?(\w+)\??: /gm)].map(([, name = '']) => name)
}

it.each([
  ['packages/client/src/engine/options.ts', 'const clientOptions', 19],
  ['packages/client/src/engine/options.ts', 'const budgetOptions', 5],
  ['packages/client/src/engine/options.ts', 'const retryOptions', 5],
  ['packages/client/src/guard/receipts.ts', 'type SignedReceiptsOptions', 2],
  ['packages/server/src/engine/server.ts', 'type ServerOptions', 20],
  ['packages/server/src/engine/offers.ts', 'type PaidOptions', 11],
  ['packages/server/src/http/remote-facilitator.ts', 'type HttpFacilitatorOptions', 3],
  ['packages/stream/src/engine/streams.ts', 'type StreamsOptions', 13],
  ['packages/stream/src/engine/offers.ts', 'type StreamRate', 16],
  ['packages/stream/src/client/pay-stream.ts', 'type PayStreamOptions', 13],
  ['packages/flow402x/src/stream/seller.ts', 'type SellerOptions', 6],
  ['packages/flow402x/src/stream/rate-middleware.ts', 'type RateOptions', 6],
  ['packages/flow402x/src/stream/flow-middleware.ts', 'type FlowOptions', 6],
  ['packages/flow402x/src/stream/flow-client.ts', 'type FlowClientOptions', 7],
])('the page of every option names all of %s, %s', async (path, declaration, least) => {
  const page = await read('apps/docs/pages/options.md')
  const named = new Set([...page.matchAll(/`([^`\n]+)`/g)].flatMap(([, code = '']) => code.match(/\w+/g) ?? []))
  const fields = await fieldsOf(path, declaration)
  expect(fields.length).toBeGreaterThanOrEqual(least)
  expect(fields.filter((field) => !named.has(field))).toEqual([])
})
