#!/usr/bin/env node
import { runCommand } from '../src/cli/run.ts'

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
process.once('SIGTERM', () => interrupted.abort())

process.exitCode = await runCommand(process.argv.slice(2), {
  out: (chunk) => process.stdout.write(chunk),
  note: (line) => process.stderr.write(`${line}\n`),
  env: process.env,
  stdin: process.stdin,
  signal: interrupted.signal,
})
