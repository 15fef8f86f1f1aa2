#!/usr/bin/env node
import { promptOf } from '../src/cli/prompt.ts'
import { runCommand } from '../src/cli/run.ts'

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
process.once('SIGTERM', () => interrupted.abort())

const ask = promptOf({ input: process.stdin, output: process.stderr, signal: interrupted.signal })
process.exitCode = await runCommand(process.argv.slice(2), {
  out: (chunk) => process.stdout.write(chunk),
  note: (line) => process.stderr.write(`${line}\n`),
  env: process.env,
  stdin: process.stdin,
  signal: interrupted.signal,
  ...(ask === undefined ? {} : { ask }),
})
