import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { verifies } from '@flow402x/testing/requirements'
import { address as solanaAddress } from '@solana/kit'
import { getAddress } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runCommand } from '../cli/run.ts'
import { type Dev, startDev } from '../dev/dev.ts'
import { type BuiltCommand, buildCommand } from '../fixtures/command-process.ts'

let dev: Dev
let folder: string
let command: BuiltCommand
beforeAll(async () => {
  dev = await startDev()
  folder = await mkdtemp(join(tmpdir(), 'flow402x-wallet-'))
  command = await buildCommand(folder)
})
afterAll(async () => {
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})

function chain() {
  const [first] = dev.chains
  if (first === undefined) throw new TypeError('no chain')
  return first
}

function solana() {
  if (dev.solana === undefined) throw new TypeError('no Solana')
  return dev.solana
}

const env = (more: Record<string, string> = {}) => ({
  FLOW402X_WALLET_FILE: join(folder, 'wallet.db'),
  FLOW402X_RPC_URL_EIP155_84532: chain().rpcUrl,
  FLOW402X_RPC_URL_SOLANA_DEVNET: solana().rpcUrl,
  ...more,
})
const evmKey = () => ({ FLOW402X_EVM_PRIVATE_KEY: chain().buyer.privateKey })
const solanaKey = () => ({ FLOW402X_SOLANA_PRIVATE_KEY: solana().buyer.privateKey })
const wallet = (args: readonly string[], more: Record<string, string> = {}) => command.run(['wallet', ...args], env(more))

/** The command in this process, which has the local chains' package; `answers` are what somebody types, one for each question. */
async function inProcess(args: readonly string[], given: Readonly<Record<string, string>>, answers?: readonly string[]) {
  let out = ''
  const [notes, left]: [string[], string[]] = [[], [...(answers ?? [])]]
  const ask = async (question: string) => {
    notes.push(question)
    return left.shift() ?? ''
  }
  const code = await runCommand(args, {
    out: (chunk) => {
      out += Buffer.from(chunk).toString()
    },
    note: (line) => notes.push(line),
    env: given,
    stdin: (async function* () {})(),
    signal: new AbortController().signal,
    ...(answers === undefined ? {} : { ask }),
  })
  return { code, out, notes: notes.join('\n') }
}

describe('flow402x wallet balance and fund', () => {
  it('shows what the chain has, of both families at once', async () => {
    const { out, code } = await wallet(['balance', '--json'], { ...evmKey(), ...solanaKey() })
    expect(code).toBe(0)
    const { balances } = JSON.parse(out)
    const usdc = await chain().balanceOf(chain().buyer.address)
    expect(balances).toContainEqual({
      network: chain().network,
      address: chain().buyer.address,
      symbol: 'USDC',
      amount: '1000 USDC',
      units: usdc.toString(),
    })
    expect(balances).toContainEqual(expect.objectContaining({ network: solana().network, symbol: 'SOL', amount: '10000 SOL' }))
    const shown = await wallet(['balance', '--network', 'base-sepolia', '--address', chain().seller.address])
    expect(shown.out).toBe(`10000 ETH on Base Sepolia at ${chain().seller.address}\n0 USDC on Base Sepolia at ${chain().seller.address}\n`)
  })

  it('fills a new wallet on local chains', async () => {
    const file = join(folder, 'filled.json')
    const { address } = JSON.parse((await wallet(['new', '--solana', '--plain', '--out', file, '--json'])).out)
    const options = ['--network', 'solana-devnet', '--key-file', file]
    const fund = (args: readonly string[]) => inProcess(['wallet', 'fund', ...args], env())
    expect(await fund([...options, '--amount', '2.5'])).toMatchObject({ code: 0, out: expect.stringContaining('2.5 USDC') })
    expect(await wallet(['fund', ...options, '--asset', 'SOL'])).toMatchObject({ code: 0, out: expect.stringContaining('1 SOL') })
    expect(await solana().balanceOf(solanaAddress(address))).toBe(2_500_000n)
    await expect.poll(() => solana().solBalance(solanaAddress(address))).toBe(1_000_000_000n)
    const to = getAddress('0x00000000000000000000000000000000000fee17')
    expect(await fund(['--network', 'base-sepolia', '--to', to])).toMatchObject({ code: 0 })
    expect(await chain().balanceOf(to)).toBe(10_000_000n)
  })

  it('gives nothing away where money is real', async () => {
    const far = { ...evmKey(), FLOW402X_RPC_URL_EIP155_8453: 'https://rpc.example' }
    const { code, notes } = await wallet(['fund', '--network', 'base'], far)
    expect({ code, notes }).toEqual({ code: 1, notes: expect.stringContaining('cli/no-faucet') })
  })
})

describe('flow402x wallet send', () => {
  const to = getAddress('0x00000000000000000000000000000000000caf31')
  const send = (args: readonly string[], more: Record<string, string> = evmKey()) =>
    wallet(['send', '--network', 'base-sepolia', '--to', to, ...args], more)
  const moved = async (call: () => Promise<unknown>) => {
    const before = await chain().balanceOf(to)
    await call()
    return (await chain().balanceOf(to)) - before
  }

  it('says what it will do, does it to the atomic unit, and says what it did', async () => {
    expect(
      await moved(async () => {
        const { code, out, notes } = await send(['--amount', '1.234567', '--yes'])
        expect({ code, out }).toEqual({ code: 0, out: expect.stringMatching(/^sent 1\.234567 USDC to 0x\w{40} in 0x[0-9a-f]{64}\n$/) })
        expect(notes).toMatch(
          /^send 1\.234567 USDC on Base Sepolia\nfrom 0x\w{40}\nto {3}0x\w{40}\nfee {2}at most 0\.0\d+ ETH\nid {3}\S+\n$/,
        )
      }),
    ).toBe(1_234_567n)
  })

  it('sends nothing without a yes, and nothing where it is only asked', async () => {
    expect(
      await moved(async () => {
        expect(await send(['--amount', '1'])).toMatchObject({ code: 1, out: '', notes: expect.stringContaining('cli/unconfirmed') })
        const dry = await send(['--amount', '1', '--dry-run', '--json'])
        expect(JSON.parse(dry.out)).toMatchObject({ to, amount: '1 USDC', cost: { fee: expect.stringMatching(/^\d+$/) } })
      }),
    ).toBe(0n)
  })

  it('asks whoever sits there, and takes a yes for a yes alone', async () => {
    const args = ['wallet', 'send', '--network', 'base-sepolia', '--to', to, '--amount', '0.1']
    for (const [answer, code, units] of [
      ['', 1, 0n],
      ['n', 1, 0n],
      ['yess', 1, 0n],
      ['Y', 0, 100_000n],
      [' yes ', 0, 100_000n],
    ] as const)
      expect(await moved(async () => expect((await inProcess(args, env(evmKey()), [answer])).code).toBe(code))).toBe(units)
  })

  it('asks for a new passphrase twice, and opens a file with what is typed', async () => {
    const file = join(folder, 'typed.json')
    const make = (...answers: string[]) => inProcess(['wallet', 'new', '--evm', '--out', file], env(), answers)
    expect(await make('one', 'other')).toMatchObject({ code: 1, notes: expect.stringContaining('cli/passphrases-differ') })
    expect(await make('')).toMatchObject({ code: 1, notes: expect.stringContaining('cli/no-passphrase') })
    const made = await make('one', 'one')
    expect(made.code).toBe(0)
    const shown = (answer: string) => inProcess(['wallet', 'address', '--evm', '--key-file', file], env(), [answer])
    expect(await shown('one')).toMatchObject({ code: 0, out: made.out })
    expect(await shown('two')).toMatchObject({ code: 1, notes: expect.stringContaining('cli/wrong-passphrase') })
  })

  it('pays one id once, however often it is called', async () => {
    verifies('TOKEN-ONCE')
    const args = ['--amount', '0.5', '--id', 'rent of May', '--yes', '--json']
    const units = await moved(async () => {
      const [first, second] = [JSON.parse((await send(args)).out), JSON.parse((await send(args)).out)]
      expect(second).toEqual(first)
      expect(first).toMatchObject({ amount: '0.5 USDC', id: 'rent of May', transaction: expect.stringMatching(/^0x/) })
      const other = await send(['--amount', '0.6', '--id', 'rent of May', '--yes', '--json'])
      expect(JSON.parse(other.out)).toMatchObject({ error: { code: 'token/reused', moneyMoved: 'no' } })
    })
    expect(units).toBe(500_000n)
  })

  it.each([
    ['more than there is', ['--amount', '2000000', '--yes'], 'token/insufficient'],
    ['a part of an atomic unit', ['--amount', '0.0000001', '--yes'], 'token/bad-amount'],
    ['an amount that is none', ['--amount', '1e3', '--yes'], 'token/bad-amount'],
    ['an asset that is not there', ['--amount', '1', '--asset', 'DAI', '--yes'], 'config/unknown-asset'],
  ])('says that nothing moved: %s', async (_, args, code) => {
    const units = await moved(async () => {
      const { out } = await send([...args, '--json'])
      expect(JSON.parse(out)).toMatchObject({ error: { code, moneyMoved: 'no' } })
    })
    expect(units).toBe(0n)
  })

  it('on Solana opens the recipient’s account where it is told to', async () => {
    const recipient = JSON.parse((await wallet(['new', '--solana', '--plain', '--out', join(folder, 'payee.json'), '--json'])).out).address
    const args = ['send', '--network', 'solana-devnet', '--to', recipient, '--amount', '3', '--yes', '--json']
    const refused = JSON.parse((await wallet(args, solanaKey())).out)
    expect(refused).toMatchObject({ error: { code: 'config/no-token-account', moneyMoved: 'no' } })
    const sent = await wallet([...args, '--open-account'], solanaKey())
    expect({ code: sent.code, json: JSON.parse(sent.out) }).toMatchObject({ code: 0, json: { amount: '3 USDC' } })
    expect(await solana().balanceOf(solanaAddress(recipient))).toBe(3_000_000n)
  })

  it('killed as its bytes leave pays once when it is called again', async () => {
    verifies('TOKEN-ONCE')
    const hold = await holding(chain().rpcUrl, 'eth_sendRawTransaction')
    try {
      const args = ['wallet', 'send', '--network', 'base-sepolia', '--to', to, '--amount', '0.75', '--id', 'killed', '--yes', '--json']
      const units = await moved(async () => {
        const dying = command.start(args, env({ ...evmKey(), FLOW402X_RPC_URL_EIP155_84532: hold.url }))
        await hold.held
        dying.kill()
        expect(await dying.ended).toMatchObject({ code: null, out: '' })
        const again = await Promise.all([command.run(args, env(evmKey())), command.run(args, env(evmKey()))])
        const told = again.map(({ out }) => JSON.parse(out))
        expect(told[0]).toMatchObject({ transaction: expect.stringMatching(/^0x/) })
        expect(told[1]).toEqual(told[0])
      })
      expect(units).toBe(750_000n)
    } finally {
      await hold.close()
    }
  })

  it('interrupted while it waits says that money may have moved, and how to go on', async () => {
    const hold = await holding(chain().rpcUrl, 'eth_getTransactionReceipt')
    try {
      const args = ['wallet', 'send', '--network', 'base-sepolia', '--to', to, '--amount', '0.25', '--id', 'interrupted', '--yes']
      const units = await moved(async () => {
        const waiting = command.start(args, env({ ...evmKey(), FLOW402X_RPC_URL_EIP155_84532: hold.url }))
        await hold.held
        waiting.interrupt()
        hold.release()
        const { code, out, notes } = await waiting.ended
        // Its block may have come before it gave up.
        if (code === 0) expect(out).toContain('sent 0.25 USDC')
        else expect({ code, notes }).toEqual({ code: 130, notes: expect.stringContaining('Call again with the same id') })
        expect((await command.run(args, env(evmKey()))).code).toBe(0)
      })
      expect(units).toBe(250_000n)
    } finally {
      await hold.close()
    }
  })
})

/** An RPC that holds the first request of a method until it is let go. */
async function holding(target: string, method: string) {
  let arrived: () => void = () => {}
  let release: () => void = () => {}
  const held = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const server = createServer(async (incoming, outgoing) => {
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = Buffer.concat(chunks).toString()
    if (body.includes(method)) {
      arrived()
      await released
    }
    const answer = await fetch(target, { method: 'POST', headers: { 'content-type': 'application/json' }, body }).catch(() => undefined)
    if (answer === undefined) return outgoing.destroy()
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(await answer.text())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A listening server has an address with a port.
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    held,
    release: () => release(),
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
