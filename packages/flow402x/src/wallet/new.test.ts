import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BuiltCommand, buildCommand } from '../fixtures/command-process.ts'

let folder: string
let command: BuiltCommand
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flow402x-wallet-'))
  command = await buildCommand(folder)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const passphrase = 'no key is worth this one'
const wallet = (args: readonly string[], more: Record<string, string> = {}) =>
  command.run(['wallet', ...args], { FLOW402X_WALLET_FILE: join(folder, 'wallet.db'), ...more })

describe('flow402x wallet new', () => {
  it.each([
    ['--evm', 'FLOW402X_EVM_PRIVATE_KEY_FILE', /^0x[0-9a-fA-F]{40}\n$/],
    ['--solana', 'FLOW402X_SOLANA_PRIVATE_KEY_FILE', /^[1-9A-HJ-NP-Za-km-z]{32,44}\n$/],
  ])('makes an encrypted key that only its owner reads: %s', async (family, variable, looks) => {
    verifies('WALLET-FILES')
    const made = await wallet(['new', family], { FLOW402X_PASSPHRASE: passphrase })
    expect(made).toMatchObject({ code: 0, out: expect.stringMatching(looks) })
    const file = join(folder, `${family.slice(2)}.json`)
    expect(made.notes).toContain(`export ${variable}=${file}`)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const written = await readFile(file, 'utf8')
    expect(JSON.parse(written)).toMatchObject({ version: 3, crypto: { cipher: 'aes-128-ctr', kdf: 'scrypt' } })

    const opened = await wallet(['address', family], { [variable]: file, FLOW402X_PASSPHRASE: passphrase })
    expect(opened).toMatchObject({ code: 0, out: made.out })
  })

  it('opens to its passphrase alone, and is never written over', async () => {
    const file = join(folder, 'evm.json')
    const [written, env] = [await readFile(file, 'utf8'), { FLOW402X_EVM_PRIVATE_KEY_FILE: file }]
    const wrong = await wallet(['address', '--evm'], { ...env, FLOW402X_PASSPHRASE: 'another' })
    expect(wrong).toMatchObject({ code: 1, out: '', notes: expect.stringContaining('cli/wrong-passphrase') })
    const none = await wallet(['address', '--evm'], env)
    expect(none).toMatchObject({ code: 1, out: '', notes: expect.stringContaining('FLOW402X_PASSPHRASE') })
    const again = await wallet(['new', '--evm', '--plain'])
    expect(again).toMatchObject({ code: 1, notes: expect.stringContaining('cli/file-exists') })
    expect(await readFile(file, 'utf8')).toBe(written)
  })

  it('writes the array of solana-keygen, and hex for EVM, where it is told to', async () => {
    const [id, key] = [join(folder, 'id.json'), join(folder, 'key.txt')]
    const made = JSON.parse((await wallet(['new', '--solana', '--plain', '--out', id, '--json'])).out)
    expect(made).toEqual({ family: 'solana', address: expect.any(String), file: id, encrypted: false })
    expect(JSON.parse(await readFile(id, 'utf8'))).toHaveLength(64)
    const evm = await wallet(['new', '--evm', '--plain', '--out', key])
    expect(await readFile(key, 'utf8')).toMatch(/^0x[0-9a-f]{64}\n$/)
    expect(await wallet(['address', '--evm', '--key-file', key])).toMatchObject({ code: 0, out: evm.out })
    expect((await wallet(['address', '--solana', '--key-file', id])).out.trim()).toBe(made.address)
    for (const file of [id, key]) expect((await stat(file)).mode & 0o777).toBe(0o600)
    await chmod(key, 0o644)
    const open = await wallet(['address', '--evm', '--key-file', key])
    expect(open).toMatchObject({ code: 1, out: '', notes: expect.stringContaining('cli/open-key-file') })
  })

  it('asks nobody where nobody sits, and makes nothing then', async () => {
    const file = join(folder, 'never.json')
    const made = await wallet(['new', '--evm', '--out', file])
    expect(made).toMatchObject({ code: 1, notes: expect.stringContaining('cli/no-passphrase') })
    await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('takes the passphrase from a file that nobody else reads', async () => {
    const [file, secret] = [join(folder, 'sealed.json'), join(folder, 'passphrase')]
    await writeFile(secret, `${passphrase}\n`, { mode: 0o600 })
    const made = await wallet(['new', '--evm', '--out', file], { FLOW402X_PASSPHRASE_FILE: secret })
    expect(made.code).toBe(0)
    expect(await wallet(['address', '--evm', '--key-file', file], { FLOW402X_PASSPHRASE: passphrase })).toMatchObject({ out: made.out })
    await chmod(secret, 0o640)
    const open = await wallet(['address', '--evm', '--key-file', file], { FLOW402X_PASSPHRASE_FILE: secret })
    expect(open).toMatchObject({ code: 1, notes: expect.stringContaining('cli/open-key-file') })
  })
})

describe('flow402x wallet', () => {
  it.each([
    [['new'], 'Name one of --evm and --solana'],
    [['new', '--evm', '--solana'], 'Name one of --evm and --solana'],
    [['new', '--evm', '--passphrase', 'x'], 'Unknown option'],
    [['address', '--key-file', 'x'], 'Name the family'],
    [['send'], 'Give --network, --to and --amount'],
    [['fund'], 'Give --network'],
  ])('explains a wrong call: %j', async (args, words) => {
    expect(await wallet(args)).toMatchObject({ code: 2, out: '', notes: expect.stringContaining(words) })
  })

  it('shows no key that stands in the wrong place', async () => {
    const { privateKey = '' } = developmentAccounts[0] ?? {}
    for (const args of [
      ['address', privateKey],
      ['send', privateKey],
      ['address', `--key=${privateKey}`],
    ]) {
      const { code, out, notes } = await wallet(args)
      expect(code).toBe(2)
      expect(out + notes).not.toContain(privateKey.slice(2))
    }
    const bad = await wallet(['address'], { FLOW402X_EVM_PRIVATE_KEY: `${privateKey}00` })
    expect(bad).toMatchObject({ code: 1, notes: expect.stringContaining('config/bad-private-key') })
    expect(bad.notes).not.toContain(privateKey.slice(2))
  })

  it('helps with each command', async () => {
    expect(await wallet(['--help'])).toMatchObject({ code: 0, out: expect.stringContaining('init-accounts') })
    expect(await wallet(['send', '--help'])).toMatchObject({ code: 0, out: expect.stringContaining('--dry-run') })
  })
})
