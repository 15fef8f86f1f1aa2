import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAnvil } from './anvil.ts'
import { startEvmChain } from './evm-chain.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'flow402x-anvil-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('stop leaves no process, and may be called again', async () => {
  const { pid, stop } = await startAnvil({ chainId: 84532 })
  expect(isRunning(pid)).toBe(true)
  await stop()
  expect(isRunning(pid)).toBe(false)
  await stop()
})

test.skipIf(process.platform !== 'linux')('stop ends the guard as well', async () => {
  const { pid, stop } = await startAnvil({ chainId: 84532 })
  await expect.poll(() => guardsOf(pid)).toHaveLength(1)
  await stop()
  await expect.poll(() => guardsOf(pid)).toHaveLength(0)
})

test('the chain ends with a parent that is killed', async () => {
  const program = `
    const { startAnvil } = await import(${JSON.stringify(path.join(import.meta.dirname, 'anvil.ts'))})
    console.log((await startAnvil({ chainId: 84532 })).rpcUrl)`
  const tsx = createRequire(import.meta.url).resolve('tsx')
  const parent = spawn(process.execPath, ['--import', tsx, '--conditions', '@flow402x/source', '--input-type', 'module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = await once(parent.stdout, 'data')
  const rpcUrl = String(line).trim()
  expect(await answers(rpcUrl)).toBe(true)
  parent.kill('SIGKILL')
  await expect.poll(() => answers(rpcUrl)).toBe(false)
})

test('an anvil that cannot be run is named', async () => {
  await expect(startEvmChain({ anvilPath: '/nowhere/anvil' })).rejects.toMatchObject({
    code: 'testing/anvil-missing',
    message:
      'anvil could not be run from /nowhere/anvil: install @foundry-rs/anvil with its optional dependencies, or name an anvil of your own in anvilPath.',
  })
})

test('an anvil that dies before it listens gives its last words', async () => {
  await expect(startEvmChain({ anvilPath: await script('echo "error: no room left" >&2; exit 3') })).rejects.toMatchObject({
    code: 'testing/anvil-exited',
    message: 'anvil is not running any more (exit code 3). Its last words: error: no room left',
  })
})

test('an anvil that listens and then dies fails the start', async () => {
  const anvilPath = await script('echo "Listening on 127.0.0.1:1"; sleep 0.2; exit 4')
  await expect(startEvmChain({ anvilPath })).rejects.toMatchObject({ code: expect.stringMatching(/^testing\/(anvil-exited|rpc-failed)$/) })
})

test('a chain that dies later says so', async () => {
  const chain = await startEvmChain()
  process.kill(chain.pid, 'SIGKILL')
  await expect(chain.ethBalance(chain.buyer.address)).rejects.toMatchObject({
    code: 'testing/anvil-exited',
    message: 'anvil is not running any more (SIGKILL). It printed nothing on stderr.',
  })
  await chain.stop()
})

test('an aborted start ends the process and gives the reason', async () => {
  const reason = new DOMException('changed my mind', 'AbortError')
  const anvilPath = await script(`echo $$ > ${folder}/pid; exec sleep 60`)
  const abort = new AbortController()
  const start = startEvmChain({ anvilPath, signal: abort.signal })
  await expect.poll(() => readFile(`${folder}/pid`, 'utf8').catch(() => '')).toMatch(/\d+\n/)
  abort.abort(reason)
  await expect(start).rejects.toBe(reason)
  expect(isRunning(Number(await readFile(`${folder}/pid`, 'utf8')))).toBe(false)
  await expect(startEvmChain({ signal: abort.signal })).rejects.toBe(reason)
})

let scripts = 0
async function script(body: string): Promise<string> {
  scripts += 1
  const file = path.join(folder, `anvil-${scripts}`)
  await writeFile(file, `#!/bin/sh\nPATH=/usr/bin:/bin\n${body}\n`)
  await chmod(file, 0o755)
  return file
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function guardsOf(pid: number): Promise<string[]> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const commands = await Promise.all(processes.map((name) => readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')))
  return commands.filter((command) => command.startsWith('/bin/sh') && command.endsWith(`\0sh\0${pid}\0`))
}

async function answers(rpcUrl: string): Promise<boolean> {
  return fetch(rpcUrl, { method: 'POST', body: '[]' }).then(
    () => true,
    () => false,
  )
}
