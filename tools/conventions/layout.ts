import ts from 'typescript'
import { isTest, judgeNodes, lineOf, type Rule, type Source, type Violation } from './project.ts'

const bannedNames = /^(utils?|helpers?|common|shared|misc|types|constants|lib)$/
const maxLines = { source: 500, test: 600, function: 60 }
const maxFiles = 12
const maxDepth = 2

/** Tables and generated files that may be longer than any file should be, each with its reason. */
const longFiles: Readonly<Record<string, string>> = {}

const lines = (count: number): string => 'export {}\n'.repeat(count)

/** HOUSE-STYLE §2: a file is named for the concept it owns. */
const names: Rule = {
  title: 'files and folders are kebab-case and named for the concept they own',
  check: ({ sources }) =>
    sources.flatMap((source) =>
      source.path.split('/').flatMap((part) => {
        const [name = ''] = part.split('.')
        if (bannedNames.test(name)) return [atTop(source, `"${name}" names no concept: what does it own?`)]
        return /^[a-z0-9]+(-[a-z0-9]+)*$/.test(name) ? [] : [atTop(source, `"${name}" is not kebab-case`)]
      }),
    ),
  bad: [
    { 'packages/core/src/protocol/utils.ts': '' },
    { 'packages/core/src/shared/money.ts': '' },
    { 'packages/core/src/types.test.ts': '' },
    { 'packages/core/src/protocol/remoteFacilitator.ts': '' },
  ],
  good: [{ 'packages/adapters-evm/src/transfer-proof/wire.fuzz.test.ts': '', 'packages/core/src/v1.ts': '' }],
}

/** HOUSE-STYLE §2: length of files. */
const fileLength: Rule = {
  title: `files have at most ${maxLines.source} lines, tests ${maxLines.test}`,
  check: ({ sources }) =>
    sources.flatMap((source) => {
      const limit = isTest(source) ? maxLines.test : maxLines.source
      const count = source.text.trimEnd().split('\n').length
      return count <= limit || longFiles[source.path] !== undefined
        ? []
        : [atTop(source, `${count} lines are more than ${limit}: which concept wants out?`)]
    }),
  bad: [{ 'packages/core/src/a/b.ts': lines(maxLines.source + 1) }, { 'packages/core/src/a/b.test.ts': lines(maxLines.test + 1) }],
  good: [{ 'packages/core/src/a/b.ts': lines(maxLines.source), 'packages/core/src/a/b.test.ts': lines(maxLines.test) }],
}

/** HOUSE-STYLE §2: length of functions. The inside of a nested function is its own: a factory is not long by its methods. */
const functionLength: Rule = {
  title: `functions have at most ${maxLines.function} lines`,
  check: ({ sources }) =>
    sources
      .filter((source) => !isTest(source))
      .flatMap((source) =>
        judgeNodes(source, (node) => {
          if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return undefined
          const count = ownLines(source, node)
          return count > maxLines.function ? `this function has ${count} lines, more than ${maxLines.function}` : undefined
        }),
      ),
  bad: [
    { 'packages/core/src/a/b.ts': `function long() {\n${'x()\n'.repeat(maxLines.function - 1)}}` },
    { 'apps/demo/src/main.ts': `const long = () => {\n${'x()\n'.repeat(maxLines.function - 1)}}` },
  ],
  good: [
    { 'packages/core/src/a/b.ts': `function long() {\n${'x()\n'.repeat(maxLines.function - 2)}}` },
    { 'packages/core/src/a/b.test.ts': `describe('x', () => {\n${'x()\n'.repeat(maxLines.function)}})` },
    { 'packages/core/src/a/b.ts': `function make() {\n  return {\n    a() {\n${'x()\n'.repeat(maxLines.function - 2)}    },\n  }\n}` },
  ],
}

function ownLines(source: Source, node: ts.Node): number {
  const length = (one: ts.Node) => lineOf(source, one.end) - lineOf(source, one.getStart(source.ast)) + 1
  let nested = 0
  const visit = (inner: ts.Node): void => {
    if (ts.isFunctionLike(inner)) nested += Math.max(0, length(inner) - 2)
    else ts.forEachChild(inner, visit)
  }
  ts.forEachChild(node, visit)
  return length(node) - nested
}

/** HOUSE-STYLE §2: breadth and depth of folders. */
const folders: Rule = {
  title: `a folder has at most ${maxFiles} files beside tests, and at most ${maxDepth} folders stand below src/`,
  check: ({ sources }) => {
    const inPackages = sources.filter((source) => /^(packages|apps)\/[^/]+\/src\//.test(source.path))
    const byFolder = new Map<string, Source[]>()
    for (const source of inPackages.filter((one) => !/\.test(-d)?\.tsx?$/.test(one.path))) {
      const folder = source.path.slice(0, source.path.lastIndexOf('/'))
      byFolder.set(folder, [...(byFolder.get(folder) ?? []), source])
    }
    return [
      ...inPackages
        .filter((source) => source.path.split('/').length - 4 > maxDepth)
        .map((source) => atTop(source, `more than ${maxDepth} folders below src/`)),
      ...[...byFolder.values()]
        .filter((files) => files.length > maxFiles)
        .flatMap(([first, ...rest]) =>
          first === undefined ? [] : [atTop(first, `its folder holds ${rest.length + 1} files, more than ${maxFiles}`)],
        ),
    ]
  },
  bad: [
    { 'packages/core/src/a/b/c/d.ts': '' },
    Object.fromEntries(Array.from({ length: maxFiles + 1 }, (_, index) => [`packages/core/src/a/b${index}.ts`, ''])),
  ],
  good: [
    Object.fromEntries(Array.from({ length: maxFiles }, (_, index) => [`packages/core/src/a/b/c${index}.ts`, ''])),
    Object.fromEntries(Array.from({ length: maxFiles + 1 }, (_, index) => [`packages/core/src/a/b${index}.test.ts`, ''])),
  ],
}

function atTop({ path }: Source, message: string): Violation {
  return { path, line: 1, message }
}

/** The rules of this file, in the order of HOUSE-STYLE. */
export const layout: readonly Rule[] = [names, fileLength, functionLength, folders]
