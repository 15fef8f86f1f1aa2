import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import ts from 'typescript'

/** Texts by path from the root, `/`-separated. */
export type Files = Readonly<Record<string, string>>

/** A source file, parsed once for all rules. */
export type Source = { readonly path: string; readonly text: string; readonly ast: ts.SourceFile }

/** The part of a package.json that the rules read. */
export type Manifest = {
  readonly name: string
  readonly private?: boolean
  readonly type?: string
  readonly license?: string
  readonly sideEffects?: unknown
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** A workspace package: its folder (`packages/core`) and its manifest. */
export type Package = { readonly folder: string; readonly manifest: Manifest; readonly text: string }

/** Everything the rules look at. */
export type Project = { readonly sources: readonly Source[]; readonly packages: readonly Package[] }

/** A broken rule, and where. */
export type Violation = { readonly path: string; readonly line: number; readonly message: string }

/** One rule of HOUSE-STYLE, with snippets that break it (each must be seen to fail) and snippets that keep it. */
export type Rule = {
  readonly title: string
  readonly check: (project: Project) => Violation[]
  readonly bad: readonly Files[]
  readonly good: readonly Files[]
}

/** Reads and parses what stands on disk below `root`. */
export function readProject(root: string): Project {
  const files: Record<string, string> = {}
  for (const entry of readdirSync(root)) {
    if (/^(packages|apps|tools)$/.test(entry)) readFolder(join(root, entry))
    else if (/\.(ts|mjs)$/.test(entry)) files[entry] = readFileSync(join(root, entry), 'utf8')
  }
  return parseProject(files)

  function readFolder(folder: string): void {
    if (!existsSync(folder)) return
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) {
        if (!/^(node_modules|dist|coverage|\..*)$/.test(entry.name)) readFolder(path)
      } else if (/(\.(tsx?|mjs|js)|^package\.json)$/.test(entry.name)) {
        files[relative(root, path).split(sep).join('/')] = readFileSync(path, 'utf8')
      }
    }
  }
}

/** Parses texts into what the rules read; the snippets of the rules come this way too. */
export function parseProject(files: Files): Project {
  const sources: Source[] = []
  const packages: Package[] = []
  for (const [path, text] of Object.entries(files)) {
    if (path.endsWith('/package.json')) packages.push({ folder: path.slice(0, -'/package.json'.length), manifest: JSON.parse(text), text })
    else sources.push({ path, text, ast: ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true) })
  }
  return { sources, packages }
}

/** Whether a file holds tests or what they stand on, in `fixtures`; a conformance suite is tests that are published. */
export function isTest({ path }: Source): boolean {
  return /\.test(-d)?\.tsx?$|^packages\/[^/]+\/src\/fixtures\//.test(path) || path.startsWith('packages/testing/src/suites/')
}

/** The package a file belongs to (`core` for `packages/core/src/v1.ts`), if it stands in one. */
export function packageOf({ path }: Source): string | undefined {
  return /^packages\/([^/]+)\//.exec(path)?.[1]
}

/** The files whose code is published: sources of packages, without their tests. */
export function published(project: Project): Source[] {
  return project.sources.filter((source) => /^packages\/[^/]+\/(src|bin)\//.test(source.path) && !isTest(source))
}

/** Runs `judge` on every node of a file and collects what it complains of. */
export function judgeNodes(source: Source, judge: (node: ts.Node) => string | undefined): Violation[] {
  const violations: Violation[] = []
  visit(source.ast)
  return violations

  function visit(node: ts.Node): void {
    const message = judge(node)
    if (message !== undefined) violations.push(violationAt(source, node, message))
    ts.forEachChild(node, visit)
  }
}

/** A violation at a node. */
export function violationAt(source: Source, node: ts.Node, message: string): Violation {
  return { path: source.path, line: lineOf(source, node.getStart(source.ast)) + 1, message }
}

/** The zero-based line of a position. */
export function lineOf(source: Source, position: number): number {
  return source.ast.getLineAndCharacterOfPosition(position).line
}
