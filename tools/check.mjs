import './installed.mjs'
import { spawnSync } from 'node:child_process'

// Everything that can be said about the code without running it. All steps run, so one pass shows all there is to mend.

const steps = [
  // The build comes first: Biome knows the promises of another package by its built declarations.
  'turbo run build --output-logs=errors-only',
  'biome check --error-on-warnings .',
  'tsc -p tsconfig.json',
  'vitest run --project conventions',
  'node tools/packages.mjs',
  'knip',
  'size-limit',
]

const failed = steps.filter((step) => {
  console.log(`\n▸ ${step}`)
  const { status } = spawnSync(step, { shell: true, stdio: 'inherit', env: { ...process.env, TURBO_TELEMETRY_DISABLED: '1' } })
  return status !== 0
})
console.log(failed.length === 0 ? '\ncheck: all green' : `\ncheck: failed: ${failed.join(' · ')}`)
process.exit(failed.length === 0 ? 0 : 1)
