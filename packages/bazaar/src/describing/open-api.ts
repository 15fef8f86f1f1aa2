import { formatDecimal, parsePrice } from '@flow402x/core'
import type { JsonSchema, Resource } from './resource.ts'

type Described = {
  readonly resources: readonly Resource[]
  readonly origin: string
  readonly title: string
  readonly description?: string
  readonly version?: string
}

/** OpenAPI 3.1 of what is sold over HTTP; each operation says what it costs in `x-payment-info`. */
export function openApiOf({ resources, origin, title, description, version = '1.0.0' }: Described): Readonly<Record<string, unknown>> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const resource of resources) {
    if (resource.method === undefined) continue
    const path = resource.path.replaceAll(/:([a-zA-Z0-9_]+)/g, '{$1}')
    paths[path] = { ...paths[path], [resource.method.toLowerCase()]: operationOf(resource) }
  }
  return {
    openapi: '3.1.0',
    info: { title, version, ...(description === undefined ? {} : { description }) },
    servers: [{ url: origin }],
    paths,
  }
}

const contentTypes: Readonly<Record<string, string>> = { json: 'application/json', 'form-data': 'multipart/form-data', text: 'text/plain' }

function operationOf({ facts, schemas, examples, bodyType }: Resource): Readonly<Record<string, unknown>> {
  const { description, serviceName, tags, category, mimeType = 'application/json' } = facts
  const parameters = [
    ...parametersOf(schemas.params, { place: 'path', examples: examples.params }),
    ...parametersOf(schemas.query, { place: 'query', examples: examples.query }),
  ]
  const content = (type: string, part: 'body' | 'output') => ({
    [type]: {
      ...(schemas[part] === undefined ? {} : { schema: schemas[part] }),
      ...(examples[part] === undefined ? {} : { example: examples[part] }),
    },
  })
  const type = contentTypes[bodyType ?? '']
  return {
    summary: serviceName ?? description,
    description,
    ...(tags === undefined ? {} : { tags }),
    ...(category === undefined ? {} : { 'x-category': category }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(type === undefined ? {} : { requestBody: { required: true, content: content(type, 'body') } }),
    responses: {
      200: { description: 'What was paid for.', content: content(mimeType, 'output') },
      402: {
        description: 'Payment required: the ways to pay are in PAYMENT-REQUIRED (x402).',
        headers: { 'PAYMENT-REQUIRED': { schema: { type: 'string' }, description: 'Base64 of JSON.' } },
      },
    },
    'x-payment-info': paymentInfo(facts),
  }
}

/** What is asked, as indexers read it; the 402 itself is what counts. */
function paymentInfo({ price, stream }: Resource['facts']): Readonly<Record<string, unknown>> {
  const protocols = [{ x402: {} }]
  if (stream !== undefined) {
    const [rate = '', unit] = stream.rate.split('/')
    return { protocols, price: { mode: 'stream', ...money(rate), unit }, ...stream }
  }
  if (price === undefined) return { protocols, price: { mode: 'dynamic' } }
  return { protocols, price: { mode: 'fixed', ...money(price) } }
}

function money(text: string): Readonly<Record<string, unknown>> {
  const { amount, symbol } = parsePrice(text)
  return { currency: symbol, amount: formatDecimal(amount) }
}

type Placed = { readonly place: 'path' | 'query'; readonly examples: unknown }

function parametersOf(schema: JsonSchema | undefined, { place, examples }: Placed): readonly unknown[] {
  const { properties, required } = schema ?? {}
  if (typeof properties !== 'object' || properties === null) return []
  const needed = new Set<unknown>(Array.isArray(required) ? required : [])
  const shown = new Map<string, unknown>(typeof examples === 'object' && examples !== null ? Object.entries(examples) : [])
  return Object.entries(properties).map(([name, own]) => ({
    name,
    in: place,
    required: place === 'path' || needed.has(name),
    schema: own,
    ...(shown.has(name) ? { example: shown.get(name) } : {}),
  }))
}
