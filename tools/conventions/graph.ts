import ts from 'typescript'
import { isTest, judgeNodes, type Package, packageOf, published, type Rule, type Source, type Violation } from './project.ts'

const zodFile = 'packages/core/src/zod.ts'
const importsAnything = new Set(['testing', 'web', 'flow402x'])
const manifest = (extra: object): string =>
  JSON.stringify({ type: 'module', license: 'Apache-2.0', sideEffects: false, exports: {}, ...extra })

/** HOUSE-STYLE §1: the star. */
const star: Rule = {
  title: 'every package imports core and no sibling',
  check: ({ sources, packages }) => [
    ...sources.flatMap((source) => judgeNodes(source, (node) => judgeImport(source, node))),
    ...packages.flatMap(judgeDependencies),
  ],
  bad: [
    { 'packages/server/src/a.ts': "import { createClient } from '@flow402x/client'" },
    { 'packages/server/src/a.ts': "export type { Client } from '@flow402x/client/browser'" },
    { 'packages/server/src/a.ts': "const client = await import('@flow402x/client')" },
    { 'packages/server/src/a.ts': "type Client = import('@flow402x/client').Client" },
    { 'packages/server/src/a.ts': "import { createServer } from '@flow402x/server'" },
    { 'packages/server/src/a.test.ts': "import { createClient } from '../../client/src/index.ts'" },
    { 'packages/server/package.json': manifest({ name: '@flow402x/server', dependencies: { '@flow402x/client': 'workspace:*' } }) },
  ],
  good: [
    { 'packages/server/src/a.ts': "import { parsePrice } from '@flow402x/core'\nimport { gate } from './engine/gate.ts'" },
    { 'packages/server/src/engine/a.test.ts': "import { exactEvmClient } from '@flow402x/adapters-evm/client'\nimport '../index.ts'" },
    { 'packages/flow402x/src/a.ts': "import { createServer } from '@flow402x/server'" },
    { 'packages/client/src/fixtures/shop.ts': "import { createServer } from '@flow402x/server'" },
  ],
}

/** HOUSE-STYLE §1, §9: versions stand in the catalog, and every manifest says the same of its package. */
const manifests: Rule = {
  title: 'versions come from the catalog; packages are ESM, Apache-2.0 and free of side effects',
  check: ({ packages }) => packages.flatMap(judgeManifest),
  bad: [
    { 'packages/core/package.json': manifest({ name: '@flow402x/core', dependencies: { zod: '^4.0.0' } }) },
    { 'packages/core/package.json': manifest({ name: '@flow402x/core', sideEffects: true }) },
    { 'packages/core/package.json': manifest({ name: '@flow402x/core', type: 'commonjs' }) },
    { 'apps/demo/package.json': manifest({ name: 'demo' }) },
  ],
  good: [
    {
      'packages/core/package.json': manifest({
        name: '@flow402x/core',
        dependencies: { zod: 'catalog:' },
        peerDependencies: { hono: '^4' },
      }),
    },
    { 'apps/demo/package.json': manifest({ name: 'demo', private: true, dependencies: { '@flow402x/core': 'workspace:*' } }) },
  ],
}

/** HOUSE-STYLE §2: the files directly in src are the export map. */
const exportMap: Rule = {
  title: 'the files directly in src/ are the export map',
  check: ({ sources, packages }) => packages.flatMap((one) => judgeExports(one, sources)),
  bad: [
    { 'packages/core/package.json': manifest({ name: '@flow402x/core' }), 'packages/core/src/index.ts': '' },
    { 'packages/core/package.json': manifest({ name: '@flow402x/core', exports: { '.': entry('index') } }) },
    { 'packages/core/package.json': manifest({ name: '@flow402x/core', exports: { './v2': entry('v1') } }), 'packages/core/src/v1.ts': '' },
    {
      'packages/core/package.json': manifest({ name: '@flow402x/core', exports: { '.': { ...entry('index'), types: './src/index.ts' } } }),
      'packages/core/src/index.ts': '',
    },
  ],
  good: [
    {
      'packages/core/package.json': manifest({ name: '@flow402x/core', exports: { '.': entry('index'), './v1': entry('v1') } }),
      'packages/core/src/index.ts': '',
      'packages/core/src/v1.ts': '',
      'packages/core/src/v1.test.ts': '',
      'packages/core/src/protocol/money.ts': '',
    },
  ],
}

/** HOUSE-STYLE §2: `index.ts` and role files only re-export, by name. */
const entries: Rule = {
  title: 'index.ts and role files only re-export, by name; nothing re-exports with a star',
  check: (project) =>
    published(project).flatMap((source) => [
      ...judgeNodes(source, (node) =>
        ts.isExportDeclaration(node) && (node.exportClause === undefined || ts.isNamespaceExport(node.exportClause))
          ? 'bundlers keep everything behind `export *`: re-export by name'
          : undefined,
      ),
      ...(/^packages\/[^/]+\/src\/(index|client|server|facilitator|seller)\.tsx?$/.test(source.path) ? judgeEntry(source) : []),
    ]),
  bad: [
    { 'packages/core/src/engine/a.ts': "export * from './b.ts'" },
    { 'packages/core/src/index.ts': "export * as money from './protocol/money.ts'" },
    { 'packages/core/src/index.ts': 'export const version = 1' },
    { 'packages/stream/src/client.ts': "import { x } from './lane/x.ts'\nexport { x }" },
  ],
  good: [
    {
      'packages/core/src/index.ts':
        "// why\nexport { parsePrice, type Price } from './protocol/money.ts'\nexport type { A } from './protocol/a.ts'",
    },
    { 'packages/server/src/hono.ts': 'export const paid = 1' },
  ],
}

/** What runs of zod is put in one file by the build, which has what is named there (`tsup.config.ts`). */
const zodNames: Rule = {
  title: 'what of zod runs is named in core/src/zod.ts',
  check: (project) => {
    const named = new Set(project.sources.filter(({ path }) => path === zodFile).flatMap(({ ast }) => ast.statements.flatMap(namesOf)))
    return published(project).flatMap((source) =>
      judgeNodes(source, (node) => {
        if (!ts.isPropertyAccessExpression(node) || node.expression.getText() !== 'z' || named.has(node.name.text)) return undefined
        return `${zodFile} does not name ${node.name.text}: built packages would miss it`
      }),
    )
  },
  bad: [{ [zodFile]: "export { string } from 'zod/mini'", 'packages/server/src/a.ts': "import * as z from 'zod/mini'\nz.number()" }],
  good: [{ [zodFile]: "export { string } from 'zod/mini'", 'packages/server/src/a.ts': 'type A = z.infer<typeof b>\nz.string()' }],
}

function namesOf(statement: ts.Statement): string[] {
  if (!ts.isExportDeclaration(statement) || statement.exportClause === undefined || !ts.isNamedExports(statement.exportClause)) return []
  return statement.exportClause.elements.map(({ name }) => name.text)
}

function judgeImport(source: Source, node: ts.Node): string | undefined {
  const specifier = specifierOf(node)
  const home = packageOf(source)
  if (specifier === undefined || home === undefined) return undefined
  if (specifier.startsWith('.')) {
    const depth = source.path.split('/').length - 3
    const up = specifier.split('/').filter((part) => part === '..').length
    return up > depth ? `${specifier} leaves the package: import it by its name` : undefined
  }
  const name = /^(?:@flow402x\/([^/]+)|(flow402x))(?:\/|$)/.exec(specifier)
  const target = name?.[1] ?? name?.[2]
  if (target === undefined || (target === 'core' && home !== 'core')) return undefined
  if (target === home) return isTest(source) ? undefined : `${specifier} is this very package: import the file`
  if (importsAnything.has(home) || isTest(source)) return undefined
  return `${home} may import core and no sibling (${specifier}): let an interface of core carry the value`
}

function specifierOf(node: ts.Node): string | undefined {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined)
    return textOf(node.moduleSpecifier)
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) return textOf(node.argument.literal)
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0] !== undefined)
    return textOf(node.arguments[0])
  return undefined
}

function textOf(node: ts.Node): string | undefined {
  return ts.isStringLiteralLike(node) ? node.text : undefined
}

function judgeDependencies(one: Package): Violation[] {
  const home = one.folder.split('/')[1] ?? ''
  if (!one.folder.startsWith('packages/') || importsAnything.has(home)) return []
  return Object.keys({ ...one.manifest.dependencies, ...one.manifest.peerDependencies })
    .filter((name) => /^(@flow402x\/|flow402x$)/.test(name) && name !== '@flow402x/core')
    .map((name) => inManifest(one, name, `${home} may depend on core and no sibling (${name})`))
}

function judgeManifest(one: Package): Violation[] {
  const { dependencies, devDependencies, type, license, sideEffects, private: secret } = one.manifest
  const violations = Object.entries({ ...dependencies, ...devDependencies })
    .filter(([, version]) => version !== 'catalog:' && version !== 'workspace:*')
    .map(([name, version]) =>
      inManifest(one, name, `${name}: "${version}" must be "catalog:", and its version stand in pnpm-workspace.yaml`),
    )
  if (type !== 'module') violations.push(inManifest(one, 'type', '"type" must be "module"'))
  if (one.folder.startsWith('apps/') && secret !== true)
    violations.push(inManifest(one, 'private', 'an app is never published: "private" must be true'))
  if (one.folder.startsWith('packages/') && license !== 'Apache-2.0')
    violations.push(inManifest(one, 'license', '"license" must be "Apache-2.0"'))
  if (one.folder.startsWith('packages/') && sideEffects !== false)
    violations.push(inManifest(one, 'sideEffects', '"sideEffects" must be false'))
  return violations
}

function judgeExports(one: Package, sources: readonly Source[]): Violation[] {
  if (!one.folder.startsWith('packages/')) return []
  const prefix = `${one.folder}/src/`
  const names = sources
    .filter((source) => source.path.startsWith(prefix) && !source.path.slice(prefix.length).includes('/') && !isTest(source))
    .map((source) => source.path.slice(prefix.length))
  const mapped = Object.entries(one.manifest.exports ?? {}).filter(([, target]) => typeof target !== 'string')
  const wanted = new Map(
    names.map((name) => [
      name
        .replace(/^/, './')
        .replace(/\.tsx?$/, '')
        .replace(/^\.\/index$/, '.'),
      name,
    ]),
  )
  const missing = [...wanted].filter(([key]) => !mapped.some(([other]) => other === key))
  return [
    ...missing.map(([key, name]) =>
      inManifest(one, 'exports', `src/${name} stands directly in src/: export it as "${key}" or move it into a folder`),
    ),
    ...mapped.flatMap(([key, target]) => {
      const name = wanted.get(key)
      if (name === undefined) return [inManifest(one, `"${key}"`, `"${key}" is exported, but no file directly in src/ has that name`)]
      const right = JSON.stringify(entry(name.replace(/\.tsx?$/, ''), name))
      // Node.js may be given a file of its own.
      const usual = Object.entries(target).filter(([condition]) => condition !== 'node')
      return JSON.stringify(Object.fromEntries(usual)) === right ? [] : [inManifest(one, `"${key}"`, `"${key}" must be ${right}`)]
    }),
  ]
}

function entry(name: string, file = `${name}.ts`): Record<string, string> {
  return { '@flow402x/source': `./src/${file}`, types: `./dist/${name}.d.ts`, default: `./dist/${name}.js` }
}

function judgeEntry(source: Source): Violation[] {
  return source.ast.statements
    .filter((statement) => !(ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined))
    .map((statement) => ({
      path: source.path,
      line: source.ast.getLineAndCharacterOfPosition(statement.getStart()).line + 1,
      message: 'an entry file only re-exports: `export { name } from …`',
    }))
}

function inManifest(one: Package, word: string, message: string): Violation {
  const index = one.text.indexOf(word.startsWith('"') ? word : `"${word}"`)
  return { path: `${one.folder}/package.json`, line: one.text.slice(0, Math.max(index, 0)).split('\n').length, message }
}

/** The rules of this file, in the order of HOUSE-STYLE. */
export const graph: readonly Rule[] = [star, manifests, exportMap, entries, zodNames]
