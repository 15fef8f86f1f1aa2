import { assets, parseNetwork } from '@flow402x/core'
import { type Address, address, generateKeyPairSigner, lamports } from '@solana/kit'
import { testingErrors } from '../chains/errors.ts'
import {
  type SolanaDevelopmentAccount,
  solanaBuyer,
  solanaDevelopmentAccounts,
  solanaFacilitator,
  solanaOwner,
  solanaSeller,
} from './accounts.ts'
import { type Bank, createBank } from './ledger/bank.ts'
import { blockhashBlocks, createSlots, type Slots } from './ledger/slots.ts'
import { type MintOptions, mintAccount } from './mint.ts'
import { createPurse, type Purse } from './purse.ts'
import { serveRpc } from './rpc/server.ts'
import { acceptingProgram } from './stand-in.ts'
import { tokenPrograms } from './tokens.ts'

/** What a local Solana shall be. */
export type SolanaChainOptions = {
  /** A Solana network of the asset table, as a CAIP-2 id or a friendly name. Devnet unless told. */
  readonly network?: string
  /** Milliseconds between slots, 400 unless told; with 0 only `advance` brings one. */
  readonly slotTime?: number
  /** Further accounts to fund, in atomic units of USDC and in lamports. The development accounts are funded anyway. */
  readonly balances?: readonly { readonly address: Address; readonly usdc?: bigint; readonly sol?: bigint }[]
  /** Ends the start; a chain that has started ends by `stop`. */
  readonly signal?: AbortSignal
}

type OfMint = { readonly mint?: Address }

/**
 * A local chain with the genesis hash and the USDC mint of a live network. Token amounts are atomic units, USDC unless another mint
 * is named; what these methods write is visible to every commitment at once.
 */
export type SolanaChain = {
  /** Its CAIP-2 id. */
  readonly network: string
  readonly genesisHash: string
  /** JSON-RPC over HTTP, on a free port of 127.0.0.1. */
  readonly rpcUrl: string
  /** JSON-RPC and subscriptions over WebSocket, on the next port. */
  readonly wsUrl: string
  readonly usdc: { readonly address: Address; readonly decimals: number; readonly tokenProgram: Address }
  /** All development accounts: 10,000 SOL each, and 1,000 USDC for each buyer. The first of each role is also named below. */
  readonly accounts: readonly SolanaDevelopmentAccount[]
  /** Mints and freezes every token; has no token account. */
  readonly owner: SolanaDevelopmentAccount
  /** Has no token account. */
  readonly facilitator: SolanaDevelopmentAccount
  /** Has an empty USDC account. */
  readonly seller: SolanaDevelopmentAccount
  readonly buyer: SolanaDevelopmentAccount
  /** Mints into the associated token account, which it opens where it is missing. */
  mint(to: Address, amount: bigint, options?: OfMint): Promise<void>
  /** What the associated token account holds; 0 where there is none. */
  balanceOf(owner: Address, options?: OfMint): Promise<bigint>
  /** In lamports. */
  solBalance(address: Address): Promise<bigint>
  airdrop(to: Address, lamports: bigint): Promise<void>
  /** Opens the associated token account where it is missing, and gives its address. */
  createTokenAccount(owner: Address, options?: OfMint): Promise<Address>
  /** A further token, which `mint` mints; gives its address. */
  createMint(options: MintOptions): Promise<Address>
  /** Writes an account as it is given, checked by nobody; without `programAddress` it belongs to the system program. */
  setAccount(address: Address, account: AccountFields): Promise<void>
  /** Places an SBF program. */
  addProgram(address: Address, bytes: Uint8Array): Promise<void>
  /** Brings slots, one unless told: after one a transaction is confirmed, after 32 finalized. Gives the newest. */
  advance(slots?: number): Promise<bigint>
  /** Advances until no blockhash of before is good. */
  expireBlockhashes(): Promise<void>
  /** Moves the clock, brings a slot and gives its Unix seconds. */
  increaseTime(seconds: number): Promise<number>
  /** Closes both ports and every connection; further calls do nothing. */
  stop(): Promise<void>
}

/** What an account of Solana is. */
export type AccountFields = {
  readonly lamports: bigint
  readonly data?: Uint8Array
  readonly programAddress?: Address
  readonly executable?: boolean
}

/**
 * Starts LiteSVM, which runs the real token programs, behind the JSON-RPC and WebSocket face of a Solana node.
 *
 * Every token of the network's asset table stands at its address as a plain mint. Lighthouse is a stand-in that accepts every
 * instruction. Simulations run against the newest accounts, whatever their commitment. A transaction that fails takes its durable nonce along.
 * Errors: `config/unknown-network`, `testing/no-solana`, `testing/no-ports`; the signal's reason when aborted.
 */
export async function startSolanaChain(options: SolanaChainOptions = {}): Promise<SolanaChain> {
  const { signal, slotTime = 400 } = options
  signal?.throwIfAborted()
  const facts = chainFacts(options.network ?? devnet)
  const slots = createSlots({ slotTime })
  const bank = createBank(slots)
  try {
    const purse = await createPurse(bank, slots)
    await install({ bank, purse, ...facts }, options)
    signal?.throwIfAborted()
    const server = await serveRpc({
      slots,
      bank,
      genesisHash: facts.genesisHash,
      airdrop: (to, lamports) => purse.airdrop(to, lamports, { settled: false }),
    })
    const { rpcUrl, wsUrl } = server
    return {
      ...facts,
      rpcUrl,
      wsUrl,
      accounts: solanaDevelopmentAccounts,
      owner: solanaOwner,
      facilitator: solanaFacilitator,
      seller: solanaSeller,
      buyer: solanaBuyer,
      ...money(purse, facts.usdc.address),
      ...state(bank),
      ...time(slots),
      async stop() {
        slots.stop()
        await server.stop()
      },
    }
  } catch (error) {
    slots.stop()
    throw error
  }
}

const devnet = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const thousandUsdc = 1_000_000_000n
const tenThousandSol = 10_000_000_000_000n
const system = address('11111111111111111111111111111111')
const lighthouse = address('L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95')

/** The hash of each network's first block, of which its CAIP-2 id is the beginning. */
const genesisHashes = [
  '5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d',
  'EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG',
  '4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY',
]

type Facts = Pick<SolanaChain, 'network' | 'genesisHash' | 'usdc'>

function chainFacts(name: string): Facts {
  const network = parseNetwork(name)
  const genesisHash = genesisHashes.find((hash) => network === `solana:${hash.slice(0, 32)}`)
  const usdc = assets.find((asset) => asset.network === network && asset.symbol === 'USDC')
  if (genesisHash === undefined || usdc === undefined) throw testingErrors('testing/no-solana', { network })
  return {
    network,
    genesisHash,
    usdc: { address: address(usdc.address), decimals: usdc.decimals, tokenProgram: tokenPrograms['spl-token'] },
  }
}

type Opened = Facts & { readonly bank: Bank; readonly purse: Purse }

async function install({ bank, purse, network, usdc }: Opened, { balances = [] }: SolanaChainOptions): Promise<void> {
  bank.addProgram(lighthouse, acceptingProgram())
  for (const asset of assets.filter((one) => one.network === network && one.transfer !== 'native')) {
    const program = asset.transfer === 'token-2022' ? 'spl-token-2022' : 'spl-token'
    bank.setAccount(mintAccount(address(asset.address), { decimals: asset.decimals, program }))
  }
  const developers = solanaDevelopmentAccounts.map(({ address, role }) => ({
    address,
    sol: tenThousandSol,
    usdc: role === 'buyer' ? thousandUsdc : 0n,
  }))
  for (const { address, sol = 0n, usdc: amount = 0n } of [...developers, ...balances]) {
    if (sol > 0n) await purse.airdrop(address, sol, { settled: true })
    if (amount > 0n) await purse.mint(address, amount, { mint: usdc.address })
  }
  await purse.createTokenAccount(solanaSeller.address, usdc.address)
}

function money(purse: Purse, usdc: Address): Pick<SolanaChain, 'mint' | 'balanceOf' | 'airdrop' | 'createTokenAccount'> {
  return {
    mint: (to, amount, { mint = usdc } = {}) => purse.mint(to, amount, { mint }),
    balanceOf: (owner, { mint = usdc } = {}) => purse.balanceOf(owner, mint),
    async airdrop(to, amount) {
      await purse.airdrop(to, amount, { settled: true })
    },
    createTokenAccount: (owner, { mint = usdc } = {}) => purse.createTokenAccount(owner, mint),
  }
}

function state(bank: Bank): Pick<SolanaChain, 'solBalance' | 'createMint' | 'setAccount' | 'addProgram'> {
  return {
    async solBalance(of) {
      const account = bank.account(of, 'processed')
      return account.exists ? account.lamports : 0n
    },
    async createMint(options) {
      const { address: mint } = await generateKeyPairSigner()
      bank.setAccount(mintAccount(mint, options))
      return mint
    },
    async setAccount(at, { lamports: amount, data = new Uint8Array(), programAddress = system, executable = false }) {
      bank.setAccount({ address: at, lamports: lamports(amount), data, programAddress, executable, space: BigInt(data.length) })
    },
    async addProgram(at, bytes) {
      bank.addProgram(at, bytes)
    },
  }
}

function time(slots: Slots): Pick<SolanaChain, 'advance' | 'expireBlockhashes' | 'increaseTime'> {
  return {
    async advance(count = 1) {
      slots.advance(count)
      return slots.slot('processed')
    },
    async expireBlockhashes() {
      slots.advance(Number(blockhashBlocks) + 1)
    },
    async increaseTime(seconds) {
      slots.moveClock(seconds)
      return slots.now()
    },
  }
}
