import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'

// Workspace imports resolve to source, so tests need no build.
const source = '@flow402x/source'
const conditions = {
  resolve: { conditions: [source, 'module', 'browser', 'development|production'] },
  ssr: { resolve: { conditions: [source, 'module', 'node', 'development|production'], externalConditions: [source, 'node'] } },
}

export default defineConfig({
  test: {
    // Suites start chains and servers of their own, so a worker is more than one busy process.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    testTimeout: 20_000,
    hookTimeout: 60_000,
    projects: [
      {
        ...conditions,
        extends: true,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'apps/*/src/**/*.test.ts'],
          exclude: ['apps/interop/**', '**/*.soak.test.ts'],
        },
      },
      { ...conditions, extends: true, test: { name: 'soak', include: ['apps/*/src/**/*.soak.test.ts'] } },
      {
        ...conditions,
        extends: true,
        test: { name: 'types', include: [], typecheck: { enabled: true, only: true, include: ['packages/*/src/**/*.test-d.ts'] } },
      },
      { extends: true, test: { name: 'conventions', include: ['conventions.test.ts'] } },
      {
        ...conditions,
        extends: true,
        test: {
          name: 'interop',
          include: ['apps/interop/src/**/*.test.ts'],
          globalSetup: 'apps/interop/src/report.ts',
          testTimeout: 60_000,
        },
      },
    ],
  },
})
