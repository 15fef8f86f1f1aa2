import ts from 'typescript'
import { judgeNodes, lineOf, packageOf, published, type Rule, type Source, type Violation } from './project.ts'

const { SyntaxKind } = ts

/** HOUSE-STYLE §3: no `any`, no double casts. */
const noAny: Rule = {
  title: 'no `any`, no `as unknown as`',
  check: ({ sources }) => sources.flatMap((source) => judgeNodes(source, judgeAny)),
  bad: [
    { 'packages/core/src/a/b.ts': 'const x: any = 1' },
    { 'packages/core/src/a/b.test.ts': 'const x = y as unknown as string' },
    { 'packages/core/src/a/b.ts': 'const x = (y as never) as string' },
    { 'packages/core/src/a/b.ts': 'const x = <string>y' },
  ],
  good: [{ 'packages/core/src/a/b.ts': 'const any = x as string // any' }],
}

/** HOUSE-STYLE §3: a cast says why it is true. */
const explainedCasts: Rule = {
  title: '`as` carries a comment saying why it is true, on its line or the one before',
  check: ({ sources }) => sources.flatMap(judgeCasts),
  bad: [
    { 'packages/core/src/a/b.ts': "const x = y as string\nconst url = 'http://x' as string" },
    { 'packages/core/src/a/b.test.ts': '// why\n\nf(y as X)' },
  ],
  good: [
    {
      'packages/core/src/a/b.ts':
        "import * as z from 'zod/mini'\nexport { x as y }\nconst a = [1] as const\n// checked above\nconst b = y as string\nf(y as X) // f takes any X\ntype M = { [K in keyof T as Uppercase<K>]: 1 }",
    },
  ],
}

/** HOUSE-STYLE §6: errors come from a table. */
const typedErrors: Rule = {
  title: 'no `throw new Error`: errors come from a table',
  check: (project) =>
    published(project).flatMap((source) =>
      judgeNodes(source, (node) =>
        ts.isNewExpression(node) && /^(Type|Range|Syntax|Aggregate|Eval|URI)?Error$/.test(node.expression.getText(source.ast))
          ? `new ${node.expression.getText(source.ast)}: give it a row in the package's error table (defineErrors)`
          : undefined,
      ),
    ),
  bad: [
    { 'packages/core/src/a/b.ts': "throw new Error('x')" },
    { 'packages/core/src/a/b.ts': "const error = new TypeError('x')" },
    { 'packages/flow402x/bin/flow402x.ts': "reject(new Error('x'))" },
  ],
  good: [{ 'packages/core/src/a/b.ts': "throw coreErrors('config/x', {})", 'packages/core/src/a/b.test.ts': "throw new Error('x')" }],
}

/** HOUSE-STYLE §7: the real thing, or a small object. */
const noModuleMocks: Rule = {
  title: 'no module mocks, no focused or unfinished tests',
  check: ({ sources }) =>
    sources.flatMap((source) =>
      judgeNodes(source, (node) => {
        const called = ts.isCallExpression(node) ? node.expression.getText(source.ast) : ''
        if (/^vi\.(mock|doMock|hoisted|importMock|stubGlobal)$/.test(called))
          return `${called}: use the real thing or a small object that satisfies the interface`
        return /^(it|test|describe)\.(only|todo)$/.test(called) ? `${called} never lands` : undefined
      }),
    ),
  bad: [
    { 'packages/core/src/a/b.test.ts': "vi.mock('./c.ts')" },
    { 'packages/core/src/a/b.test.ts': "vi.doMock('./c.ts', () => ({}))" },
    { 'packages/core/src/a/b.test.ts': "it.only('x', () => {})" },
  ],
  good: [{ 'packages/core/src/a/b.test.ts': "it('x', () => { const send = vi.fn() })" }],
}

/** HOUSE-STYLE §4: the environment and the console belong to apps and to flow402x. */
const noAmbient: Rule = {
  title: 'no process.env and no console outside apps and flow402x',
  check: (project) =>
    published(project)
      .filter((source) => packageOf(source) !== 'flow402x')
      .flatMap((source) => judgeNodes(source, (node) => judgeAmbient(source, node))),
  bad: [
    { 'packages/core/src/a/b.ts': "console.warn('x')" },
    { 'packages/core/src/a/b.ts': 'const x = process.env.X' },
    { 'packages/store/src/memory.ts': "console.warn('x')" },
    { 'packages/store/src/sqlite.ts': 'const { env } = process' },
  ],
  good: [
    { 'packages/store/src/memory.ts': "if (process.env.NODE_ENV === 'production') refuse()" },
    { 'packages/flow402x/src/a.ts': 'console.log(process.env.X)', 'apps/demo/src/main.ts': 'console.log(process.env.X)' },
    { 'packages/core/src/a/b.ts': "process.on('exit', stop)", 'packages/core/src/a/b.test.ts': "console.log('x')" },
  ],
}

/** HOUSE-STYLE §4: what the language offers and this project does without. */
const plainLanguage: Rule = {
  title: 'no default exports, no enums, no classes but errors and FlowClient',
  check: ({ sources }) =>
    sources
      .filter(({ path }) => !/^[^/]+\.config\.ts$/.test(path))
      .flatMap((source) => judgeNodes(source, (node) => judgePlain(source, node))),
  bad: [
    { 'packages/core/src/a/b.ts': 'export default 1' },
    { 'packages/core/src/a/b.ts': 'const x = 1\nexport { x as default }' },
    { 'apps/demo/src/page.ts': 'export default function page() {}' },
    { 'packages/core/src/a/b.ts': 'enum Colour { Red }' },
    { 'packages/core/src/a/b.ts': 'class Ledger {}' },
    { 'packages/core/src/a/b.ts': 'export class FlowClient {}' },
    { 'packages/core/src/a/b.test.ts': 'const x = class extends Ledger {}' },
  ],
  good: [
    { 'packages/core/src/a/b.ts': 'export class X402Error<Code> extends Error {}\nclass Other extends X402Error<1> {}' },
    { 'packages/flow402x/src/flow-client.ts': 'export class FlowClient {}', 'vitest.config.ts': 'export default {}' },
  ],
}

function judgeAny(node: ts.Node): string | undefined {
  if (node.kind === SyntaxKind.AnyKeyword) return '`any` hides what a value is: let the schema give the type, or use `unknown`'
  if (ts.isTypeAssertionExpression(node)) return '`<T>value` casts: let the schema give the type'
  if (!ts.isAsExpression(node)) return undefined
  let inner = node.expression
  while (ts.isParenthesizedExpression(inner)) inner = inner.expression
  const through = ts.isAsExpression(inner) ? inner.type.kind : undefined
  return through === SyntaxKind.UnknownKeyword || through === SyntaxKind.NeverKeyword
    ? 'a double cast says nothing true: let the schema give the type'
    : undefined
}

function judgeCasts(source: Source): Violation[] {
  let commented: Set<number> | undefined
  return judgeNodes(source, (node) => {
    if (!ts.isAsExpression(node) || (ts.isTypeReferenceNode(node.type) && node.type.getText(source.ast) === 'const')) return undefined
    commented ??= commentedLines(source)
    const line = lineOf(source, node.type.getStart(source.ast))
    return commented.has(line) || commented.has(line - 1) ? undefined : 'this cast needs a comment that says why it is true'
  })
}

function commentedLines(source: Source): Set<number> {
  const commented = new Set<number>()
  visit(source.ast)
  return commented

  function visit(node: ts.Node): void {
    for (const position of [node.pos, node.end]) {
      for (const ranges of [ts.getLeadingCommentRanges(source.text, position), ts.getTrailingCommentRanges(source.text, position)]) {
        for (const range of ranges ?? [])
          for (let line = lineOf(source, range.pos); line <= lineOf(source, range.end); line += 1) commented.add(line)
      }
    }
    for (const child of node.getChildren(source.ast)) visit(child)
  }
}

function judgeAmbient(source: Source, node: ts.Node): string | undefined {
  if (!ts.isIdentifier(node)) return undefined
  const { parent } = node
  if (node.text === 'console' && ts.isPropertyAccessExpression(parent) && parent.expression === node)
    return 'console: report through onEvent, or let the caller print'
  if (node.text !== 'process' || /^packages\/store\/src\/memory[^/]*$/.test(source.path)) return undefined
  const member = ts.isPropertyAccessExpression(parent) && parent.expression === node && parent.name.text === 'env'
  const destructured = ts.isVariableDeclaration(parent) && parent.initializer === node && ts.isObjectBindingPattern(parent.name)
  return member || destructured ? 'process.env: take it as an option; flow402x reads the environment' : undefined
}

function judgePlain(source: Source, node: ts.Node): string | undefined {
  if (ts.isEnumDeclaration(node)) return 'an enum: use a union of string literals'
  const marked = ts.canHaveModifiers(node) && ts.getModifiers(node)?.some((modifier) => modifier.kind === SyntaxKind.DefaultKeyword)
  if (marked || ts.isExportAssignment(node) || (ts.isExportSpecifier(node) && node.name.text === 'default'))
    return 'a default export: export it by name'
  if (!ts.isClassLike(node)) return undefined
  const parent =
    node.heritageClauses?.find((clause) => clause.token === SyntaxKind.ExtendsKeyword)?.types[0]?.expression.getText(source.ast) ?? ''
  const allowed = parent.endsWith('Error') || (node.name?.text === 'FlowClient' && packageOf(source) === 'flow402x')
  return allowed ? undefined : 'a class: use functions and plain objects (classes are for errors)'
}

/** The rules of this file, in the order of HOUSE-STYLE. */
export const language: readonly Rule[] = [noAny, explainedCasts, plainLanguage, noAmbient, typedErrors, noModuleMocks]
