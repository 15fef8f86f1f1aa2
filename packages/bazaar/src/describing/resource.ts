import { type Extension, type ExtensionDeclaration, firstIssue, present } from '@flow402x/core'
import { bazaarKey } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import { sellerErrors } from './errors.ts'

/** A schema of zod or zod/mini. */
export type Schema = z.core.$ZodType

/** How a stream is sold: its rate as people read it, the most that is paid ahead in its units, and how it travels. */
export type StreamFacts = { readonly rate: string; readonly window?: number; readonly transports?: readonly string[] }

/** What is said of anything that is sold. */
export type CommonFacts = {
  /** As `paid` takes it; where it depends on the request that is said in its place. */
  readonly price?: string
  readonly description: string
  readonly mimeType?: string
  /** How catalogues name the service: up to 32 letters of ASCII. */
  readonly serviceName?: string
  /** `ai.text-generation`, … */
  readonly category?: string
  /** At most five, of up to 32 letters of ASCII. */
  readonly tags?: readonly string[]
  readonly iconUrl?: string
  readonly stream?: StreamFacts
  /** `false` for what is not to be found in catalogues. */
  readonly discoverable?: boolean
}

/** A route behind HTTP, described by the schemas that it checks its requests with. */
export type HttpResourceOptions<Query extends Schema, Path extends Schema, Body extends Schema, Output extends Schema> = CommonFacts & {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** `/users/:id` or `/users/[id]`. */
  readonly path: string
  readonly query?: Query
  readonly params?: Path
  readonly body?: Body
  /** `json` unless told. */
  readonly bodyType?: 'json' | 'form-data' | 'text'
  readonly output?: Output
  /** What a request and its answer look like; each must fit its schema. A path with parameters needs theirs. */
  readonly example?: {
    readonly query?: z.core.input<Query>
    readonly params?: z.core.input<Path>
    readonly body?: z.core.input<Body>
    readonly output?: z.core.output<Output>
  }
}

/** A tool of an MCP server. */
export type McpResourceOptions<Input extends Schema, Output extends Schema> = CommonFacts & {
  /** Where the server is, such as `/mcp`. */
  readonly path: string
  readonly tool: string
  readonly transport?: 'streamable-http' | 'sse'
  readonly input: Input
  readonly output?: Output
  readonly example?: { readonly input?: z.core.input<Input>; readonly output?: z.core.output<Output> }
}

/** A resource as its seller describes it, once, for its 402, for catalogues and for OpenAPI. */
export type Resource = {
  /** What `paid` takes, price and all: `paid(server, story.terms)`. */
  readonly terms: Omit<CommonFacts, 'price' | 'category' | 'stream' | 'discoverable'> & {
    readonly price: string
    readonly extensions: readonly Extension[]
  }
  readonly facts: CommonFacts
  readonly path: string
  /** Of an HTTP resource. */
  readonly method?: string
  /** Of an MCP resource. */
  readonly tool?: string
  /** A path that answers, where `path` has parameters. */
  readonly examplePath?: string
  /** The JSON Schemas of what goes in and comes out, by `query`, `params`, `body`, `output`. */
  readonly schemas: Readonly<Record<string, JsonSchema>>
  readonly examples: Readonly<Record<string, unknown>>
  readonly bodyType?: string
}

/** A JSON Schema (2020-12). */
export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * Describes a route by its own schemas, for its 402 (the `bazaar` extension), `.well-known/x402` and OpenAPI.
 *
 * Errors: `config/bad-example`, `config/no-example`.
 */
export function httpResource<Query extends Schema, Path extends Schema, Body extends Schema, Output extends Schema>(
  options: HttpResourceOptions<Query, Path, Body, Output>,
): Resource {
  const { method, path: written, query, params, body, bodyType = 'json', output, example = {}, ...facts } = options
  const path = written.replaceAll(/[[{]([a-zA-Z0-9_]+)[\]}]/g, ':$1')
  const name = `${method} ${path}`
  const schemas = schemasOf({ query, params, body, output })
  checkExamples(name, { query, params, body, output }, example)
  const examplePath = filled(path, example.params ?? {})
  if (examplePath === undefined) throw sellerErrors('config/no-example', { resource: name })
  const input = {
    type: 'http',
    method,
    ...present({ queryParams: example.query, pathParams: example.params }),
    ...(body === undefined ? {} : { bodyType, ...present({ body: example.body }) }),
  }
  const inputSchema = {
    ...present({ queryParams: schemas.query, pathParams: schemas.params }),
    ...(body === undefined ? {} : { bodyType: { const: bodyType }, body: schemas.body ?? {} }),
  }
  const declaration = declared({
    input,
    inputSchema: { method: { const: method }, ...inputSchema },
    output: example.output,
    outputSchema: schemas.output,
  })
  const isTemplate = path.includes(':')
  const beside = { ...besides(facts), ...(isTemplate ? { routeTemplate: path, example: examplePath } : {}) }
  const brief = { input: { type: 'http', method, ...(body === undefined ? {} : { bodyType }) } }
  return {
    terms: termsOf(facts, extensionOf(declaration, { beside, brief })),
    facts,
    path,
    method,
    ...(isTemplate ? { examplePath } : {}),
    schemas,
    examples: example,
    ...(body === undefined ? {} : { bodyType }),
  }
}

/**
 * Describes a tool of an MCP server by its own schemas.
 *
 * Errors: `config/bad-example`.
 */
export function mcpResource<Input extends Schema, Output extends Schema>(options: McpResourceOptions<Input, Output>): Resource {
  const { path, tool, transport = 'streamable-http', input, output, example = {}, ...facts } = options
  const name = `tool ${tool}`
  checkExamples(name, { input, output }, example)
  const schemas = schemasOf({ input, output })
  const said = { type: 'mcp', toolName: tool, description: facts.description, transport }
  const inputSchema = schemas.input ?? { type: 'object' }
  const declaration = declared({
    input: { ...said, inputSchema, ...present({ example: example.input }) },
    inputSchema: { toolName: { const: tool }, inputSchema: { type: 'object' } },
    output: example.output,
    outputSchema: schemas.output,
  })
  const brief = { input: { type: 'mcp', toolName: tool, transport, inputSchema: { type: 'object' } } }
  const extension = extensionOf(declaration, { beside: besides(facts), brief })
  return { terms: termsOf(facts, extension), facts, path, tool, schemas, examples: example }
}

type Declared = {
  readonly input: Readonly<Record<string, unknown>>
  readonly inputSchema: Readonly<Record<string, unknown>>
  readonly output: unknown
  readonly outputSchema: JsonSchema | undefined
}

/** The extension in the form of wire.md §16.1: examples in `info`, and a schema that `info` fits. */
function declared({ input, inputSchema, output, outputSchema }: Declared): ExtensionDeclaration {
  const properties = { type: { const: input.type }, ...inputSchema }
  const described = output !== undefined || outputSchema !== undefined
  return {
    info: { input, ...(output === undefined ? {} : { output: { type: 'json', example: output } }) },
    schema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      type: 'object',
      properties: {
        // What stands in it is required of it; examples that are not given are not.
        input: { type: 'object', properties, required: Object.keys(properties).filter((name) => Object.hasOwn(input, name)) },
        ...(described ? { output: { type: 'object', properties: { type: { type: 'string' }, example: outputSchema ?? {} } } } : {}),
      },
      required: ['input'],
    },
  }
}

type Saying = { readonly beside: Readonly<Record<string, unknown>>; readonly brief: Readonly<Record<string, unknown>> }

/** Where a 402 has no room for schemas and examples it says where they are. */
function extensionOf(declaration: ExtensionDeclaration, { beside, brief }: Saying): Extension {
  const whole = { ...declaration, ...beside }
  const short = { info: brief, schema: { type: 'object' }, describedBy: '/.well-known/x402', ...beside }
  return { key: bazaarKey, declare: () => whole, brief: () => short }
}

function besides({ category, discoverable }: CommonFacts): Readonly<Record<string, unknown>> {
  return present({ category, discoverable })
}

function termsOf({ price = '', description, mimeType, serviceName, tags, iconUrl }: CommonFacts, extension: Extension): Resource['terms'] {
  return { price, description, ...present({ mimeType, serviceName, tags, iconUrl }), extensions: [extension] }
}

function schemasOf(schemas: Readonly<Record<string, Schema | undefined>>): Record<string, JsonSchema> {
  return Object.fromEntries(
    Object.entries(schemas).flatMap(([name, schema]) => (schema === undefined ? [] : [[name, jsonSchema(schema, name)]])),
  )
}

function jsonSchema(schema: Schema, part: string): JsonSchema {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: part === 'output' ? 'output' : 'input', unrepresentable: 'any' })
  return rest
}

function checkExamples(
  resource: string,
  schemas: Readonly<Record<string, Schema | undefined>>,
  examples: Readonly<Record<string, unknown>>,
): void {
  for (const [part, example] of Object.entries(examples)) {
    const schema = schemas[part]
    const parsed = schema === undefined || example === undefined ? undefined : z.safeParse(schema, example)
    if (parsed?.success === false) throw sellerErrors('config/bad-example', { resource, part, why: firstIssue(parsed.error) })
  }
}

/** A path with its parameters; nothing where one is missing. */
function filled(path: string, params: unknown): string | undefined {
  const values = new Map<string, unknown>(typeof params === 'object' && params !== null ? Object.entries(params) : [])
  const names = [...path.matchAll(/:([a-zA-Z0-9_]+)/g)].map(([, name = '']) => name)
  if (names.some((name) => values.get(name) === undefined)) return undefined
  return path.replaceAll(/:([a-zA-Z0-9_]+)/g, (_, name: string) => encodeURIComponent(String(values.get(name))))
}
