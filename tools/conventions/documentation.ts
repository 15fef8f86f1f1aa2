import ts from 'typescript'
import { isTest, judgeNodes, type Project, published, type Rule, type Source, violationAt } from './project.ts'

/** HOUSE-STYLE §4: what a caller gets is written down. */
const returnTypes: Rule = {
  title: 'exported functions annotate their return type',
  check: (project) =>
    published(project).flatMap((source) =>
      exportsOf(source).flatMap(({ name, node }) => {
        const functions = ts.isVariableDeclaration(node)
          ? node.type === undefined && node.initializer !== undefined
            ? [node.initializer]
            : []
          : [node]
        return functions
          .filter(
            (one) => (ts.isFunctionDeclaration(one) || ts.isArrowFunction(one) || ts.isFunctionExpression(one)) && one.type === undefined,
          )
          .map((one) => violationAt(source, one, `${name} is exported: annotate what it returns`))
      }),
    ),
  bad: [
    { 'packages/core/src/a/b.ts': 'export function f() { return 1 }' },
    { 'packages/core/src/a/b.ts': 'export const f = async (x: string) => x' },
    { 'packages/core/src/a/b.ts': 'function f() {}\nexport { f }' },
  ],
  good: [
    {
      'packages/core/src/a/b.ts':
        'export function f(): number { return 1 }\nexport const g: () => void = () => {}\nfunction h() {}\nexport const i = 1',
    },
  ],
}

/** HOUSE-STYLE §8: every export has a doc comment. A schema and the type it infers share one. */
const docComments: Rule = {
  title: 'every export has a doc comment',
  check: (project) =>
    published(project).flatMap((source) => {
      const all = exportsOf(source)
      const documented = new Set(all.filter(({ statement }) => hasDoc(source, statement)).map(({ name }) => name))
      return all
        .filter(({ name }) => !documented.has(name))
        .map(({ name, node }) =>
          violationAt(source, node, `${name} is exported: say in one sentence what it is, then shapes, units, errors`),
        )
    }),
  bad: [
    { 'packages/core/src/a/b.ts': 'export const x = 1' },
    { 'packages/core/src/a/b.ts': '// not a doc comment\nexport type X = string' },
    { 'packages/core/src/a/b.ts': '/** File. */\n\nimport "x"\nexport function f(): void {}' },
    { 'packages/core/src/a/b.ts': 'const x = 1\nexport { x }' },
  ],
  good: [
    { 'packages/core/src/a/b.ts': "/** X. */\nexport const X = z.string()\nexport type X = z.infer<typeof X>\nexport { y } from './c.ts'" },
    { 'packages/core/src/a/b.ts': '/** X. */\nconst x = 1\nexport { x }', 'packages/core/src/a/b.test.ts': 'export const y = 1' },
  ],
}

/** HOUSE-STYLE §8: an example is pulled from a file that runs. */
const examples: Rule = {
  title: 'every @example stands, line for line, in an app or a test',
  check: (project) => {
    const runnable = project.sources
      .filter((source) => source.path.startsWith('apps/') || isTest(source))
      .map(({ text }) => `\n${flat(text)}\n`)
    return published(project).flatMap((source) =>
      judgeNodes(source, (node) =>
        examplesOf(node).some((code) => !runnable.some((text) => text.includes(`\n${flat(code)}\n`)))
          ? 'this @example stands in no app and no test: pull it from a file that runs'
          : undefined,
      ),
    )
  },
  bad: [
    {
      'packages/core/src/a/b.ts': '/**\n * F.\n *\n * @example\n * ```ts\n * f(1)\n * ```\n */\nexport const f = 1',
      'apps/examples/src/f.ts': 'f(10)',
    },
  ],
  good: [
    {
      'packages/core/src/a/b.ts': '/**\n * F.\n *\n * @example\n * ```ts\n * f({\n *   x: 1,\n * })\n * ```\n */\nexport const f = 1',
      'apps/examples/src/f.ts': '  f({\n    x: 1,\n  })\n',
    },
  ],
}

const requirementsFile = 'packages/testing/src/requirements.ts'
const requirementsFolder = 'packages/testing/src/requirements/'
const part = "export const streamRequirements = { 'V2-3': { link: 'https://z', text: 'z' } }"
const table = "export const requirements = { 'V2-1': { link: 'https://x', text: 'x' }, 'V2-2': { link: 'https://y', text: 'y' } }"

/** HOUSE-STYLE §7: a requirement nobody proves is a promise nobody keeps. Active once the table exists. */
const requirements: Rule = {
  title: 'every requirement of requirements.ts is cited by a test, and every citation names one',
  check: (project) => {
    const source = project.sources.find(({ path }) => path === requirementsFile)
    if (source === undefined) return []
    const parts = project.sources.filter(({ path }) => path.startsWith(requirementsFolder))
    const listed = new Map([source, ...parts].flatMap((where) => requirementIds(where).map(([id, node]) => [id, { where, node }])))
    if (listed.size === 0) return [{ path: requirementsFile, line: 1, message: 'it exports no `requirements` table with ids' }]
    const cited = citations(project)
    const known = new Set(cited.map(({ id }) => id))
    return [
      ...[...listed]
        .filter(([id]) => !known.has(id))
        .map(([id, { where, node }]) => violationAt(where, node, `no test cites ${id}: verifies('${id}', …)`)),
      ...cited
        .filter(({ id }) => !listed.has(id))
        .map(({ id, where, node }) => violationAt(where, node, `${id} is no requirement of requirements.ts`)),
    ]
  },
  bad: [
    { [requirementsFile]: table, 'packages/core/src/a.test.ts': "verifies('V2-1', () => {})" },
    { [requirementsFile]: table, 'packages/core/src/a.test.ts': "verifies(['V2-1', 'V2-2', 'V2-3'], () => {})" },
    { [requirementsFile]: table, [`${requirementsFolder}stream.ts`]: part, 'packages/core/src/a.test.ts': "verifies(['V2-1', 'V2-2'])" },
    { [requirementsFile]: 'export const requirements = {}' },
    { [requirementsFile]: "export const requirements = [{ id: 'V2-1', link: 'https://x' }]" },
  ],
  good: [
    { [requirementsFile]: table, 'packages/core/src/a.test.ts': "verifies(['V2-1', 'V2-2'], 'x', () => {})" },
    {
      [requirementsFile]: `${table} as const satisfies Table`,
      'packages/testing/src/suites/scheme.ts': "verifies('V2-1', () => {})",
      'apps/interop/src/a.test.ts': "verifies('V2-2', () => {})",
    },
    {
      [requirementsFile]: table,
      [`${requirementsFolder}stream.ts`]: part,
      'packages/core/src/a.test.ts': "verifies(['V2-1', 'V2-2', 'V2-3'])",
    },
    { 'packages/core/src/a.test.ts': "it('x', () => {})" },
  ],
}

type Export = { readonly name: string; readonly node: ts.Node; readonly statement: ts.Node }

function exportsOf(source: Source): Export[] {
  const declared = source.ast.statements.flatMap((statement) => declarationsOf(statement).map((one) => ({ ...one, statement })))
  const listed = new Set(
    source.ast.statements.flatMap((statement) =>
      ts.isExportDeclaration(statement) &&
      statement.moduleSpecifier === undefined &&
      statement.exportClause !== undefined &&
      ts.isNamedExports(statement.exportClause)
        ? statement.exportClause.elements.map((element) => (element.propertyName ?? element.name).text)
        : [],
    ),
  )
  return declared.filter(({ name, statement }) => listed.has(name) || isMarked(statement))
}

function isMarked(statement: ts.Node): boolean {
  return (
    ts.canHaveModifiers(statement) &&
    (ts.getModifiers(statement)?.some((modifier) => modifier.kind === ts.SyntaxKind.ExportKeyword) ?? false)
  )
}

function declarationsOf(statement: ts.Statement): { name: string; node: ts.Node }[] {
  if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map((node) => ({ name: node.name.getText(), node }))
  const named =
    ts.isFunctionDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isClassDeclaration(statement)
  return named && statement.name !== undefined ? [{ name: statement.name.text, node: statement }] : []
}

function hasDoc(source: Source, node: ts.Node): boolean {
  const ranges = ts.getLeadingCommentRanges(source.text, node.pos) ?? []
  return ranges.some(({ pos }) => source.text.startsWith('/**', pos))
}

function examplesOf(node: ts.Node): string[] {
  return ts
    .getJSDocTags(node)
    .filter((tag) => tag.tagName.text === 'example' && tag.parent.parent === node)
    .map((tag) => ts.getTextOfJSDocComment(tag.comment) ?? '')
    .map((text) => text.replaceAll(/^```.*$/gm, ''))
}

function flat(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .join('\n')
}

function requirementIds(source: Source): [id: string, node: ts.Node][] {
  const ids: [string, ts.Node][] = []
  const declaration = exportsOf(source).find(({ name }) => /^(r|\w+R)equirements$/.test(name))?.node
  let value = declaration !== undefined && ts.isVariableDeclaration(declaration) ? declaration.initializer : undefined
  while (value !== undefined && (ts.isAsExpression(value) || ts.isSatisfiesExpression(value))) value = value.expression
  if (value !== undefined && ts.isObjectLiteralExpression(value)) {
    for (const property of value.properties)
      if (property.name !== undefined && 'text' in property.name) ids.push([property.name.text, property])
  }
  if (value !== undefined && ts.isArrayLiteralExpression(value)) {
    for (const element of value.elements.filter(ts.isObjectLiteralExpression)) {
      for (const property of element.properties.filter(ts.isPropertyAssignment)) {
        if (property.name.getText(source.ast) === 'id' && ts.isStringLiteralLike(property.initializer))
          ids.push([property.initializer.text, element])
      }
    }
  }
  return ids
}

function citations({ sources }: Project): { id: string; where: Source; node: ts.Node }[] {
  return sources.filter(isTest).flatMap((where) => {
    const found: { id: string; where: Source; node: ts.Node }[] = []
    visit(where.ast)
    return found

    function visit(node: ts.Node): void {
      const [first] = ts.isCallExpression(node) && node.expression.getText(where.ast) === 'verifies' ? node.arguments : []
      const ids = first === undefined ? [] : ts.isArrayLiteralExpression(first) ? [...first.elements] : [first]
      for (const id of ids.filter(ts.isStringLiteralLike)) found.push({ id: id.text, where, node: id })
      ts.forEachChild(node, visit)
    }
  })
}

/** The rules of this file, in the order of HOUSE-STYLE. */
export const documentation: readonly Rule[] = [returnTypes, docComments, examples, requirements]
