import './installed.mjs'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Runs vitest with the given arguments and ends with one plain line that counts what vitest reported: `N passed, N failed`.

const folder = mkdtempSync(join(tmpdir(), 'flow402x-test-'))
const report = join(folder, 'report.json')
// A busy machine may show a block or free a port late once; what is broken fails twice.
const retry = process.env.CI === 'true' ? ['--retry=1'] : []
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
const vitest = spawn('vitest', ['run', ...reporters, ...retry, ...process.argv.slice(2)], { stdio: 'inherit' })
vitest.on('error', (error) => {
  console.error(error.message)
  process.exit(1)
})
vitest.on('close', (code) => {
  const { passed, failed, skipped } = counts(code === 0)
  rmSync(folder, { recursive: true, force: true })
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
  process.exit(failed > 0 ? 1 : (code ?? 1))
})

/** @param {boolean} succeeded */
function counts(succeeded) {
  /** @type {{ testResults: { status: string, assertionResults: { status: string }[] }[] }} */
  let result = { testResults: [] }
  try {
    result = JSON.parse(readFileSync(report, 'utf8'))
  } catch (error) {
    console.error(`vitest left no report: ${error instanceof Error ? error.message : error}`)
  }
  const tests = result.testResults.flatMap((file) => file.assertionResults)
  const passed = tests.filter((test) => test.status === 'passed').length
  const failedTests = tests.filter((test) => test.status === 'failed').length
  // A file that fails to load has no tests to count, and an unhandled error belongs to none: each is a failure all the same.
  const brokenFiles = result.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  const failed = failedTests + brokenFiles.length
  return { passed, failed: failed === 0 && !succeeded ? 1 : failed, skipped: tests.length - passed - failedTests }
}
