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
    // How long a test may take on the busiest machine, so that only what hangs is ended; a slow one names a limit of its own where even this is too little.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    setupFiles: './tools/patience.ts',
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
        },
      },
    ],
  },
})
