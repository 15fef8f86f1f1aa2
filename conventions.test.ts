import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { documentation } from './tools/conventions/documentation.ts'
import { graph } from './tools/conventions/graph.ts'
import { language } from './tools/conventions/language.ts'
import { layout } from './tools/conventions/layout.ts'
import { parseProject, readProject, type Violation } from './tools/conventions/project.ts'
import { wire } from './tools/conventions/wire.ts'

// The rules of the house style that a machine can check. Each is also seen to fail on snippets that break it.

const project = readProject(fileURLToPath(new URL('.', import.meta.url)))

const rules = [...graph, ...layout, ...language, ...wire, ...documentation]

it('reads the packages', () => {
  expect(project.packages.map(({ manifest }) => manifest.name)).toContain('@flow402x/core')
  expect(project.sources.map(({ path }) => path)).toContain('packages/core/src/index.ts')
})

describe.each(rules.map((rule) => [rule.title, rule] as const))('%s', (_, { check, bad, good }) => {
  it('holds', () => {
    expect(readable(check(project))).toBe('')
  })

  it('is seen to fail', () => {
    expect(bad).not.toEqual([])
    expect(bad.filter((files) => check(parseProject(files)).length === 0)).toEqual([])
  })

  it('lets pass what keeps it', () => {
    expect(good.map((files) => readable(check(parseProject(files)))).join('')).toBe('')
  })
})

function readable(violations: readonly Violation[]): string {
  return violations.map(({ path, line, message }) => `${path}:${line} ${message}`).join('\n')
}
