import { bazaarRoutes } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'

const problem = {
  description: 'A problem (RFC 9457); its `code` says which.',
  content: { 'application/problem+json': { schema: { type: 'object' } } },
}

/** The bazaar's interface as OpenAPI 3.1, made from its routes. */
export function openApi(): object {
  const paths: Record<string, Record<string, object>> = {}
  for (const [operationId, route] of Object.entries(bazaarRoutes)) {
    const { method, path, response } = route
    const answer = { description: 'The answer.', content: { 'application/json': { schema: jsonSchema(response) } } }
    const asked = 'query' in route ? { parameters: parametersOf(route.query) } : {}
    const sent =
      'request' in route ? { requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(route.request) } } } } : {}
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: { operationId, ...asked, ...sent, responses: { 200: answer, default: problem } },
    }
  }
  return { openapi: '3.1.0', info: { title: 'Flow402x bazaar', version: '1' }, paths }
}

function jsonSchema(schema: z.ZodMiniType): Record<string, unknown> {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return json
}

function parametersOf(query: z.ZodMiniType): object[] {
  const { properties = {}, required = [] } = z.toJSONSchema(query, { io: 'input', unrepresentable: 'any' })
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: required.includes(name), schema }))
}
