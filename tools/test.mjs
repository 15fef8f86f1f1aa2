import './installed.mjs'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

// Runs vitest with the given arguments, names what failed and ends with one plain line that counts: `N passed, N failed`.
// On a busy machine a block may come late once. So files that fail among others run again alone; what is broken fails there too.

/** @typedef {{ status: string, fullName: string, failureMessages: string[] }} Case */
/** @typedef {{ name: string, status: string, message: string, assertionResults: Case[] }} File */

// More files than this do not fail by chance.
const chances = 8

const folder = mkdtempSync(join(tmpdir(), 'flow402x-test-'))
const given = process.argv.slice(2)
let result = await run(given)
const failing = result.files.filter((file) => file.status === 'failed')
if (failing.length > 0 && failing.length <= chances) {
  console.log(`\nAgain, alone, since they failed among others:\n${failing.flatMap(failures).join('\n').replaceAll('✗', '↻')}`)
  const options = given.filter((word, at) => word.startsWith('-') || given[at - 1]?.startsWith('--project'))
  const alone = await run([...options, '--no-file-parallelism', ...failing.map((file) => file.name)])
  const again = new Map(alone.files.map((file) => [file.name, file]))
  result = { files: result.files.map((file) => again.get(file.name) ?? file), succeeded: alone.succeeded }
}
rmSync(folder, { recursive: true, force: true })

const broken = result.files.filter((file) => file.status === 'failed').flatMap(failures)
// An unhandled error belongs to no test; it is a failure all the same.
if (broken.length === 0 && !result.succeeded) broken.push('✗ vitest ended with an error that no test owns')
const cases = result.files.flatMap((file) => file.assertionResults)
const passed = cases.filter(({ status }) => status === 'passed').length
const skipped = cases.filter(({ status }) => status !== 'passed' && status !== 'failed').length
if (broken.length > 0) console.log(`\n${broken.join('\n')}`)
console.log(`${passed} passed, ${broken.length} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`)
process.exit(broken.length > 0 ? 1 : 0)

/**
 * @param {string[]} words
 * @returns {Promise<{ files: File[], succeeded: boolean }>}
 */
async function run(words) {
  const report = join(folder, 'report.json')
  rmSync(report, { force: true })
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const vitest = spawn('vitest', ['run', ...reporters, ...words], { stdio: 'inherit' })
  const code = await new Promise((end) => {
    vitest.on('error', (error) => end(error.message)).on('close', end)
  })
  try {
    return { files: JSON.parse(readFileSync(report, 'utf8')).testResults, succeeded: code === 0 }
  } catch (error) {
    console.error(`vitest left no report: ${error instanceof Error ? error.message : error}`)
    return { files: [], succeeded: false }
  }
}

/**
 * A line for each failed test; for a file that could not be loaded, which has none, one for the file.
 * @param {File} file
 */
function failures(file) {
  const place = relative(process.cwd(), file.name)
  const failed = file.assertionResults.filter(({ status }) => status === 'failed')
  const first = (/** @type {string | undefined} */ text) => (text ?? '').split('\n')[0]
  if (failed.length === 0) return [`✗ ${place}: ${first(file.message)}`]
  return failed.map((test) => `✗ ${place} › ${test.fullName}: ${first(test.failureMessages[0])}`)
}
