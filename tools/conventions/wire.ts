import ts from 'typescript'
import { judgeNodes, published, type Rule, type Source } from './project.ts'

const { SyntaxKind } = ts

/** HOUSE-STYLE §3: text becomes a value in few places, and a schema judges it there. */
const jsonReaders: Rule = {
  title: 'JSON.parse stands only in headers.ts and the HTTP readers, and a schema follows it',
  check: (project) => published(project).flatMap((source) => judgeNodes(source, (node) => judgeJson(source, node))),
  bad: [
    { 'packages/core/src/protocol/payment.ts': 'function f(text: string): unknown { return JSON.parse(text) }' },
    { 'packages/core/src/protocol/headers.ts': 'function f(text: string): Payment { return JSON.parse(text) }' },
    {
      'packages/client/src/engine/client.ts':
        'async function f(response: Response) { const body = await response.json(); return body.accepts }',
    },
  ],
  good: [
    { 'packages/core/src/protocol/headers.ts': 'function f(text: string): unknown { return JSON.parse(text) }' },
    {
      'packages/client/src/engine/http-reader.ts':
        'async function f(response: Response) { return z.safeParse(offer, await response.json()) }',
    },
    { 'packages/client/src/engine/client.test.ts': 'JSON.parse(text).accepts' },
  ],
}

/** HOUSE-STYLE §3: money is a bigint inside. */
const exactMoney: Rule = {
  title: 'no `number` arithmetic, parseFloat or default decimals in the money path',
  check: (project) => published(project).flatMap((source) => judgeNodes(source, (node) => judgeMoney(source, node))),
  bad: [
    { 'packages/core/src/protocol/money.ts': 'const x = Number(text)' },
    { 'packages/core/src/protocol/rate.ts': 'const x = parts.map(Number)' },
    { 'packages/client/src/engine/budget.ts': 'const cap = 0.01' },
    { 'packages/core/src/protocol/asset.ts': 'const x = y.toFixed(2)' },
    { 'packages/server/src/engine/gate.ts': 'const x = parseFloat(text)' },
    { 'packages/server/src/engine/gate.ts': 'const x = Number.parseFloat(text)' },
    { 'packages/server/src/engine/gate.ts': 'const x = asset.decimals ?? 6' },
    { 'packages/server/src/engine/gate.ts': 'function f({ decimals = 6 }) {}' },
  ],
  good: [
    { 'packages/core/src/protocol/money.ts': 'const x = BigInt(text) * 10n ** 6n; if (Number.isSafeInteger(y)) z()' },
    { 'packages/server/src/engine/gate.ts': 'const seconds = Number(text) * 1.5; const table = { decimals: 6 }' },
  ],
}

// wire.md §3.3, without the names that are words of their own elsewhere (`solana` is a chain family, `story` a story).
const v1Names =
  /^(base|base-sepolia|avalanche|avalanche-fuji|ethereum|sepolia|polygon|polygon-amoy|sei-testnet|abstract-testnet|iotex|educhain|skale-base-sepolia|megaeth|stable-testnet|solana-devnet|solana-testnet)$/

/** HOUSE-STYLE §3: networks are CAIP-2; an old protocol version is a codec. */
const v1Networks: Rule = {
  title: 'v1 network names stand in core/src/v1.ts alone, friendly names in core/src/protocol/network.ts',
  check: (project) =>
    published(project)
      .filter(({ path }) => !/^packages\/(core\/src\/(v1|protocol\/network)\.ts$|flow402x\/)/.test(path))
      .flatMap((source) =>
        judgeNodes(source, (node) =>
          ts.isStringLiteralLike(node) && v1Names.test(node.text) ? `'${node.text}' is a v1 network name: use its CAIP-2 id` : undefined,
        ),
      ),
  bad: [{ 'packages/server/src/engine/gate.ts': "const network = 'base-sepolia'" }, { 'packages/core/src/protocol/asset.ts': 'f(`base`)' }],
  good: [
    { 'packages/core/src/v1.ts': "const names = { 'base-sepolia': 'eip155:84532' }", 'packages/core/src/protocol/network.ts': "f('base')" },
    { 'packages/server/src/engine/gate.ts': "const network = 'eip155:84532' // base-sepolia" },
    { 'packages/server/src/engine/gate.test.ts': "const network = 'base-sepolia'", 'apps/demo/src/main.ts': "f('base')" },
  ],
}

/** Where text of a peer becomes a value. A new reader is a new line here, with what it reads. */
const readers: Readonly<Record<string, string>> = {
  'packages/core/src/protocol/headers.ts': 'payment headers',
  'packages/core/src/stream/messages.ts': 'ticks, their answers and what a stream says in its body',
  'packages/core/src/calls/http-call.ts': 'the answers of nodes and facilitators',
  'packages/core/src/receipt/jws.ts': 'signed offers and receipts',
  'packages/bazaar/src/asking/ask.ts': 'the answers of a bazaar',
  'packages/store/src/claims/record.ts': 'the columns that a store wrote',
  'packages/client/src/http/offer.ts': 'the body of a 402',
  'packages/bazaar/src/fetching/json.ts': 'what a bazaar is sent, and what it fetches',
  'packages/facilitator/src/http/body-reader.ts': 'the body of a request to verify or settle',
  'packages/stream/src/access/pass.ts': 'what a pass says',
  'packages/stream/src/client/pass-store.ts': 'the passes that a page kept',
  'packages/testing/src/solana/rpc/server.ts': 'the requests of a JSON-RPC client',
  'packages/flow402x/src/wallet/keystore.ts': 'an encrypted key file',
  'packages/web/src/wallet/evm.ts': 'what is asked of a wallet in the place of a node',
  'packages/flow402x/src/dev/sample-seller.ts': 'the body of a request to the sample seller',
}

function judgeJson(source: Source, node: ts.Node): string | undefined {
  if (!ts.isCallExpression(node)) return undefined
  const parses = node.expression.getText(source.ast) === 'JSON.parse'
  const reads = ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === 'json' && node.arguments.length === 0
  if (parses && readers[source.path] === undefined)
    return 'JSON.parse stands only in headers.ts and the HTTP readers (listed in tools/conventions/wire.ts)'
  return (parses || reads) && !schemaFollows(source, node)
    ? 'no schema follows in this function, and it does not return `unknown` either'
    : undefined
}

function schemaFollows(source: Source, node: ts.Node): boolean {
  let scope = node
  while (scope.parent !== undefined && !ts.isFunctionLike(scope)) scope = scope.parent
  if (ts.isFunctionLike(scope) && /^(Promise<)?unknown>?$/.test(scope.type?.getText(source.ast) ?? '')) return true
  return calls(scope)

  function calls(within: ts.Node): boolean {
    if (ts.isCallExpression(within) && within.expression.getText(source.ast) !== 'JSON.parse') {
      const name = ts.isPropertyAccessExpression(within.expression) ? within.expression.name.text : within.expression.getText(source.ast)
      if (/^(safeParse|parse|decode|safeDecode)(Async)?$/.test(name)) return true
    }
    return ts.forEachChild(within, (child) => calls(child) || undefined) ?? false
  }
}

const moneyFiles = /\/(money|rate|asset|price|amount|budget|ledger|spending)\.ts$/

function judgeMoney(source: Source, node: ts.Node): string | undefined {
  if (ts.isIdentifier(node) && node.text === 'parseFloat') return 'parseFloat: amounts are decimal text (parseDecimal) or bigint'
  const fallback = decimalsFallback(source, node)
  if (fallback) return 'decimals have no default: an asset without known decimals is an error'
  if (!moneyFiles.test(source.path)) return undefined
  if (ts.isNumericLiteral(node) && node.text.includes('.')) return `${node.text}: no fractions in the money path`
  if (!ts.isIdentifier(node)) return undefined
  if (/^(toFixed|toPrecision|parseInt)$/.test(node.text)) return `${node.text}: amounts are decimal text (parseDecimal) or bigint`
  const asks = ts.isPropertyAccessExpression(node.parent) && /^(isInteger|isSafeInteger|MAX_SAFE_INTEGER)$/.test(node.parent.name.text)
  return node.text === 'Number' && !asks ? 'Number: amounts are decimal text (parseDecimal) or bigint' : undefined
}

function decimalsFallback(source: Source, node: ts.Node): boolean {
  const named = (part: ts.Node): boolean => /decimals$/i.test(part.getText(source.ast))
  if (
    ts.isBinaryExpression(node) &&
    (node.operatorToken.kind === SyntaxKind.QuestionQuestionToken || node.operatorToken.kind === SyntaxKind.BarBarToken)
  ) {
    return named(node.left) && ts.isNumericLiteral(node.right)
  }
  const defaulted = ts.isParameter(node) || ts.isBindingElement(node)
  return defaulted && named(node.name) && node.initializer !== undefined && ts.isNumericLiteral(node.initializer)
}

/** The rules of what crosses the wire: text, money, networks. */
export const wire: readonly Rule[] = [jsonReaders, exactMoney, v1Networks]
