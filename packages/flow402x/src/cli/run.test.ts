import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateKeyPairSigner, getBase58Encoder } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from '../dev/dev.ts'
import { runCommand } from './run.ts'

let dev: Dev
let folder: string
beforeAll(async () => {
  dev = await startDev()
  folder = await mkdtemp(join(tmpdir(), 'flow402x-cli-'))
})
afterAll(async () => {
  await dev?.close()
  await rm(folder, { recursive: true, force: true })
})

type Given = {
  readonly env?: Record<string, string>
  readonly input?: string
  readonly signal?: AbortSignal
  readonly onOut?: (text: string) => void
}

async function run(args: readonly string[], { env = {}, input = '', signal = new AbortController().signal, onOut }: Given = {}) {
  const out: Buffer[] = []
  const notes: string[] = []
  const code = await runCommand(args, {
    out: (chunk) => {
      out.push(Buffer.from(chunk))
      onOut?.(Buffer.from(chunk).toString())
    },
    note: (line) => notes.push(line),
    env,
    stdin: (async function* () {
      yield input
    })(),
    signal,
  })
  return { code, out: Buffer.concat(out).toString('utf8'), notes: notes.join('\n') }
}

function chain() {
  const [first] = dev.chains
  if (first === undefined) throw new TypeError('no chain')
  return first
}

function wallet(): Record<string, string> {
  return { FLOW402X_EVM_PRIVATE_KEY: chain().buyer.privateKey }
}

function solana() {
  if (dev.solana === undefined) throw new TypeError('no Solana')
  return dev.solana
}

function solanaWallet(): Record<string, string> {
  return { FLOW402X_SOLANA_PRIVATE_KEY: solana().buyer.privateKey }
}

async function spentBy(call: () => Promise<unknown>): Promise<bigint> {
  const before = await chain().balanceOf(chain().buyer.address)
  await call()
  return before - (await chain().balanceOf(chain().buyer.address))
}

describe('flow402x pay', () => {
  it('pays a route and prints its body, the story beside it', async () => {
    let result: Awaited<ReturnType<typeof run>> | undefined
    const spent = await spentBy(async () => {
      result = await run(['pay', `${dev.world.seller.url}/weather?place=Lisbon`], { env: wallet() })
    })
    expect(spent).toBe(1000n)
    expect(result?.code).toBe(0)
    expect(JSON.parse(result?.out ?? '')).toMatchObject({ place: 'Lisbon' })
    expect(result?.notes).toMatch(/asks 0\.001 USDC on Base Sepolia[\s\S]*paid 0\.001 USDC in 0x[0-9a-f]{64}/)
  })

  it('sends data from standard input, and prints one line of JSON', async () => {
    const args = ['pay', `${dev.world.seller.url}/ai/generate`, '-d', '@-', '-H', 'Content-Type: application/json', '--json']
    const { code, out } = await run(args, { env: wallet(), input: '{"prompt":"silver whistle harbour"}' })
    expect(code).toBe(0)
    const answer = JSON.parse(out)
    expect(answer).toMatchObject({ status: 200, price: '0.02 USDC', network: 'eip155:84532', receipt: { success: true } })
    expect(JSON.parse(answer.body)).toMatchObject({ model: 'sample-rules-1' })
  })

  it('writes a file, byte for byte what another purchase prints', async () => {
    const file = join(folder, 'primes.csv')
    const url = `${dev.world.seller.url}/primes.csv`
    expect((await run(['pay', url, '-o', file], { env: wallet() })).code).toBe(0)
    const printed = await run(['pay', url], { env: wallet() })
    expect(printed.out.split('\n')).toHaveLength(20_002)
    expect(await readFile(file, 'utf8')).toBe(printed.out)
  })

  it('quotes without paying', async () => {
    const spent = await spentBy(async () => {
      const { code, out } = await run(['pay', '--quote', `${dev.world.seller.url}/primes.csv`], { env: wallet() })
      expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('0.05 USDC on Base Sepolia by exact') })
    })
    expect(spent).toBe(0n)
  })

  it('refuses more than --max and moves nothing', async () => {
    const spent = await spentBy(async () => {
      const { code, out } = await run(['pay', '--max', '$0.01', '--json', `${dev.world.seller.url}/primes.csv`], { env: wallet() })
      expect(code).toBe(1)
      expect(JSON.parse(out)).toMatchObject({ error: { moneyMoved: 'no' } })
    })
    expect(spent).toBe(0n)
  })

  it('answers 1 for a status of 400 and above, which costs nothing', async () => {
    const spent = await spentBy(async () => {
      const { code, out } = await run(['pay', `${dev.world.seller.url}/ai/generate`, '-d', '{}'], { env: wallet() })
      expect({ code, out }).toEqual({ code: 1, out: expect.stringContaining('Nothing was charged') })
    })
    expect(spent).toBe(0n)
  })

  it('takes the key from a file that only its owner reads', async () => {
    const file = join(folder, 'key')
    await writeFile(file, `${chain().buyer.privateKey}\n`, { mode: 0o600 })
    const env = { FLOW402X_EVM_PRIVATE_KEY_FILE: file }
    expect((await run(['pay', `${dev.world.seller.url}/weather`], { env })).code).toBe(0)
    await chmod(file, 0o644)
    const open = await run(['pay', `${dev.world.seller.url}/weather`], { env })
    expect(open).toEqual({ code: 1, out: '', notes: expect.stringContaining('cli/open-key-file') })
    expect(open.notes).not.toContain(chain().buyer.privateKey)
  })

  it('pays on Solana with a key of Solana, from the environment or a file as wallets write it', async () => {
    const file = join(folder, 'id.json')
    await writeFile(file, JSON.stringify([...getBase58Encoder().encode(solana().buyer.privateKey)]), { mode: 0o600 })
    for (const env of [solanaWallet(), { FLOW402X_SOLANA_PRIVATE_KEY_FILE: file }]) {
      const [payer, payee] = [solana().buyer.address, solana().seller.address]
      const before = [await solana().balanceOf(payer), await solana().balanceOf(payee)]
      const { code, out, notes } = await run(['pay', `${dev.world.seller.url}/weather?place=Lima`], { env })
      expect({ code, body: JSON.parse(out) }).toMatchObject({ code: 0, body: { place: 'Lima' } })
      expect(notes).toMatch(/asks 0\.001 USDC on Solana devnet[\s\S]*paid 0\.001 USDC in [1-9A-HJ-NP-Za-km-z]{86,88}/)
      const after = [await solana().balanceOf(payer), await solana().balanceOf(payee)]
      expect(after.map((now, at) => now - (before[at] ?? 0n))).toEqual([-1000n, 1000n])
    }
  })

  it('pays on the network that it is told, with keys of both', async () => {
    const env = { ...wallet(), ...solanaWallet() }
    for (const [name, network] of [
      ['solana-devnet', solana().network],
      ['base-sepolia', chain().network],
    ] as const) {
      const { code, out } = await run(['pay', '--network', name, '--json', `${dev.world.seller.url}/weather`], { env })
      expect({ code, paid: JSON.parse(out) }).toMatchObject({ code: 0, paid: { network, receipt: { success: true, network } } })
    }
    const spent = await spentBy(async () => {
      const { code, out } = await run(['pay', '--network', 'solana', '--json', `${dev.world.seller.url}/weather`], { env })
      expect({ code, error: JSON.parse(out).error }).toMatchObject({ code: 1, error: { moneyMoved: 'no' } })
    })
    expect(spent).toBe(0n)
  })

  it.each([
    [['pay'], 'Give exactly one URL'],
    [['pay', 'weather'], 'is no URL'],
    [['pay', 'http://127.0.0.1:1/', '--sideways'], 'Unknown option'],
    [['pay', 'http://127.0.0.1:1/', '-H', 'no colon'], 'is no header'],
    [['fly'], 'There is no command "fly"'],
    [['dev', '--seller-port', 'many'], 'is no port'],
  ])('explains a wrong call: %j', async (args, words) => {
    expect(await run(args, { env: wallet() })).toEqual({ code: 2, out: '', notes: expect.stringContaining(words) })
  })

  it('says that nobody is there, and that nothing was paid', async () => {
    for (const more of [[], ['--quote']]) {
      const { code, out } = await run(['pay', 'http://127.0.0.1:1/', '--json', ...more], { env: wallet() })
      const detail = expect.stringMatching(/^http:\/\/127\.0\.0\.1:1\/ could not be reached: .+\. Nothing was signed and no money moved\.$/)
      expect([code, JSON.parse(out)]).toMatchObject([1, { error: { code: 'cli/unreachable', moneyMoved: 'no', detail } }])
    }
  })

  it('says what is asked as people read it, where that is more than its limit', async () => {
    const { code, notes } = await run(['pay', '--max', '0.0001', `${dev.world.seller.url}/primes.csv`], { env: wallet() })
    expect([code, notes]).toEqual([1, expect.stringContaining('exact on eip155:84532, 0.05 USDC: more than the cap of $0.0001 a payment')])
  })

  it('names the variable when there is no key', async () => {
    const { code, notes } = await run(['pay', `${dev.world.seller.url}/weather`])
    expect({ code, notes }).toEqual({ code: 1, notes: expect.stringContaining('FLOW402X_EVM_PRIVATE_KEY or FLOW402X_SOLANA_PRIVATE_KEY') })
    const onSolana = await run(['pay', '--network', 'solana', `${dev.world.seller.url}/weather`], { env: wallet() })
    expect(onSolana).toEqual({ code: 1, out: '', notes: expect.stringContaining('set FLOW402X_SOLANA_PRIVATE_KEY to') })
  })

  it.each([['--help'], ['pay', '--help'], ['dev', '-h']])('helps: %j', async (...args) => {
    const { code, out } = await run(args)
    expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('flow402x') })
  })
})

describe('flow402x wallet init-accounts', () => {
  const env = () => ({ ...solanaWallet(), FLOW402X_RPC_URL_SOLANA_DEVNET: solana().rpcUrl })
  const init = (owner: string, ...more: string[]) =>
    run(['wallet', 'init-accounts', '--network', 'solana-devnet', '--owner', owner, ...more], { env: env() })

  it('opens what is missing, says what it costs, and leaves alone what is there', async () => {
    const { address: owner } = await generateKeyPairSigner()
    const { code, out, notes } = await init(owner)
    expect({ code, notes }).toEqual({
      code: 0,
      notes: expect.stringContaining(
        `cost 0.00203928 SOL of rent, which stays in the account, and 0.000005 SOL of fee, from ${solana().buyer.address}`,
      ),
    })
    expect(out).toMatch(new RegExp(`^opened USDC account \\w+ of ${owner} on Solana devnet in \\w{86,88}\\n$`))
    const account = await solana().createTokenAccount(owner)
    expect(await init(owner)).toEqual({
      code: 0,
      out: `USDC account ${account} of ${owner} on Solana devnet is there already: nothing was sent\n`,
      notes: '',
    })
    const { out: line } = await init(owner, '--asset', 'USDC', '--json')
    const asset = { symbol: 'USDC', address: solana().usdc.address }
    expect(JSON.parse(line)).toEqual({ accounts: [{ account, owner, network: solana().network, asset }] })
  })

  it.each([
    ['no key', { FLOW402X_SOLANA_PRIVATE_KEY: '' }, 'set FLOW402X_SOLANA_PRIVATE_KEY to'],
    ['no node', { FLOW402X_RPC_URL_SOLANA_DEVNET: '' }, 'set FLOW402X_RPC_URL_SOLANA_DEVNET to'],
    ['a payer without SOL', { FLOW402X_SOLANA_PRIVATE_KEY: JSON.stringify(Array.from({ length: 32 }, (_, at) => at)) }, 'holds 0 lamports'],
  ])('names what is missing: %s', async (_, change, words) => {
    const { address: owner } = await generateKeyPairSigner()
    const args = ['wallet', 'init-accounts', '--network', 'solana-devnet', '--owner', owner]
    expect(await run(args, { env: { ...env(), ...change } })).toEqual({ code: 1, out: '', notes: expect.stringContaining(words) })
  })

  it.each([
    [['wallet'], 'Say what "wallet" is to do.\nUsage: flow402x wallet new|'],
    [['wallet', 'init-accounts'], 'Give --network and --owner'],
    [['wallet', 'init-accounts', '--network', 'base', '--owner', 'x'], 'has no token accounts'],
  ])('explains a wrong call: %j', async (args, words) => {
    expect(await run(args, { env: env() })).toEqual({ code: 2, out: '', notes: expect.stringContaining(words) })
  })
})

describe('flow402x dev', () => {
  it('prints one line with everything a program needs, serves it, and ends when interrupted', async () => {
    const interrupted = new AbortController()
    const { promise, resolve } = ready()
    const running = run(['dev', '--json'], { signal: interrupted.signal, onOut: resolve })
    const line = await promise
    const world = JSON.parse(line)
    expect(line.trimEnd().split('\n')).toHaveLength(1)
    expect(world).toMatchObject({
      evm: [
        { network: 'eip155:84532', usdc: '0x036CbD53842c5426634e7929541eC2318f3dCF7e', rpcUrl: expect.stringMatching(/^http:\/\/127/) },
      ],
      solana: {
        network: 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
        usdc: '4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU',
        rpcUrl: expect.stringMatching(/^http:\/\/127/),
        accounts: expect.arrayContaining([
          { role: 'buyer', address: solana().buyer.address, privateKey: solana().buyer.privateKey },
          { role: 'seller', address: solana().seller.address, privateKey: solana().seller.privateKey },
        ]),
      },
      facilitator: { url: expect.stringMatching(/^http:\/\/127/) },
      seller: {
        routes: expect.arrayContaining(
          ['eip155:84532', 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'].map((network) => ({
            method: 'GET',
            path: '/weather',
            price: '$0.001',
            scheme: 'exact',
            network,
          })),
        ),
      },
    })
    const supported = await fetch(`${world.facilitator.url}/supported`)
    expect(supported.status).toBe(200)
    expect((await fetch(`${world.seller.url}/weather`)).status).toBe(402)
    interrupted.abort()
    expect((await running).code).toBe(0)
    await expect(fetch(`${world.seller.url}/weather`)).rejects.toThrow()
  })

  it('prints the same for people, with a line that pays on each chain', async () => {
    const interrupted = new AbortController()
    const { promise, resolve } = ready()
    const running = run(['dev'], { signal: interrupted.signal, onOut: resolve })
    const text = await promise
    interrupted.abort()
    expect((await running).code).toBe(0)
    for (const line of [
      `export FLOW402X_EVM_PRIVATE_KEY=${chain().buyer.privateKey}`,
      `export FLOW402X_SOLANA_PRIVATE_KEY=${solana().buyer.privateKey}`,
      'export FLOW402X_RPC_URL_EIP155_84532=http://127.0.0.1:',
      'export FLOW402X_RPC_URL_SOLANA_DEVNET=http://127.0.0.1:',
      '/weather  $0.001 on Solana devnet',
      'export FLOW402X_WALLET_FILE=$(mktemp -d)/wallet.db',
      "flow402x pay 'http://127.0.0.1:",
    ])
      expect(text).toContain(line)
  })

  it('imitates several networks at once', async () => {
    const several = await startDev({ networks: ['base-sepolia', 'arbitrum-sepolia'] })
    try {
      expect(several.world.solana).toBeUndefined()
      expect(several.world.evm.map(({ network }) => network)).toEqual(['eip155:84532', 'eip155:421614'])
      const env = wallet()
      const { code, out } = await run(['pay', '--network', 'arbitrum-sepolia', '--json', `${several.world.seller.url}/weather`], { env })
      expect({ code, paid: JSON.parse(out) }).toMatchObject({ code: 0, paid: { network: 'eip155:421614', receipt: { success: true } } })
    } finally {
      await several.close()
    }
  })

  it('has one Solana', async () => {
    const { code, notes } = await run(['dev', '--network', 'solana-devnet,solana-testnet'])
    expect({ code, notes }).toEqual({ code: 1, notes: expect.stringContaining('A local world has one Solana') })
  })

  it('says which port is taken', async () => {
    const port = new URL(dev.world.seller.url).port
    expect(await run(['dev', '--seller-port', port])).toEqual({ code: 1, out: '', notes: expect.stringContaining(`Port ${port} is taken`) })
  })
})

function ready() {
  let resolve: (text: string) => void = () => {}
  const promise = new Promise<string>((done) => {
    resolve = done
  })
  return { promise, resolve: (text: string) => resolve(text) }
}
