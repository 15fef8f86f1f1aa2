import { setTimeout as delay } from 'node:timers/promises'
import { findAsset, isX402Error, parseNetwork } from '@flow402x/core'
import { type Address, concat, decodeFunctionResult, encodeFunctionData, getAddress, hexToBigInt, hexToNumber, pad, parseEther } from 'viem'
import * as z from 'zod/mini'
import { contractCode, contracts } from '../contracts/placement.ts'
import { buyer, type DevelopmentAccount, developmentAccounts, facilitator, owner, seller } from './accounts.ts'
import { type Anvil, startAnvil } from './anvil.ts'
import { testingErrors } from './errors.ts'
import { ask, hexSchema, jsonRpc, type Rpc, type RpcCall, setCode } from './json-rpc.ts'
import { multicall3Address, multicall3Code } from './multicall3.ts'
import { type Send, treasury, treasurySender } from './treasury.ts'
import { smartAccountCode, usdcAbi, usdcCode, usdcSetup } from './usdc.ts'

/** What a local EVM chain shall be. */
export type EvmChainOptions = {
  /** A network whose asset table has Circle's USDC, as a CAIP-2 id or a friendly name. Base Sepolia unless told. */
  readonly network?: string
  /** Seconds between blocks; without it every transaction is mined at once. */
  readonly blockTime?: number
  /** Further accounts to fund, in atomic units of USDC and in wei. The development accounts are funded anyway. */
  readonly balances?: readonly { readonly address: Address; readonly usdc?: bigint; readonly eth?: bigint }[]
  /** An anvil of your own, where npm has no binary for this machine. */
  readonly anvilPath?: string
  /** Ends the start, and the chain with it; a chain that has started ends by `stop`. */
  readonly signal?: AbortSignal
}

type Abortable = { readonly signal?: AbortSignal }
type OfToken = { readonly token?: Address }

/** A local chain with the code, the chain id and the USDC address of a live network. USDC amounts are atomic units (six decimals). */
export type EvmChain = {
  /** Its CAIP-2 id. */
  readonly network: string
  readonly chainId: number
  /** JSON-RPC over HTTP and WebSocket, on a free port of 127.0.0.1. */
  readonly rpcUrl: string
  /** The process id of anvil: suspend or end it to see an outage. */
  readonly pid: number
  readonly usdc: { readonly address: Address; readonly name: string; readonly version: string; readonly decimals: number }
  /** Permit2, and the x402 contracts: equivalents of our own at the canonical addresses. */
  readonly contracts: typeof contracts
  /** All development accounts: 10,000 ETH each, and 1,000 USDC for each buyer. The first of each role is also named below. */
  readonly accounts: readonly DevelopmentAccount[]
  readonly owner: DevelopmentAccount
  readonly facilitator: DevelopmentAccount
  readonly seller: DevelopmentAccount
  readonly buyer: DevelopmentAccount
  /** Mints USDC, or another token of the chain (DAI on Ethereum, USDT on Arbitrum), and resolves when that is mined. */
  mint(to: Address, amount: bigint, options?: Abortable & OfToken): Promise<void>
  /** In atomic units of USDC, or of another token. */
  balanceOf(address: Address, options?: Abortable & OfToken): Promise<bigint>
  /** In wei. */
  ethBalance(address: Address, options?: Abortable): Promise<bigint>
  /** Deploys Circle's MockERC1271Wallet, which accepts the signatures of `owner`, with 1,000 USDC unless told. */
  deploySmartAccount(owner: Address, options?: Abortable & { readonly usdc?: bigint }): Promise<Address>
  /** Any method of anvil (`anvil_*`, `evm_*`, `eth_*`); bigints in `params` travel as hex quantities. */
  readonly rpc: Rpc
  /** One block unless told. */
  mine(blocks?: number, options?: Abortable): Promise<void>
  /** Moves the clock, mines a block and gives that block's timestamp in Unix seconds. */
  increaseTime(seconds: number, options?: Abortable): Promise<number>
  /** Ends the chain and resolves when its process is gone; further calls do nothing. */
  stop(): Promise<void>
}

/**
 * Starts anvil with Circle's own FiatTokenV2_2 at the network's USDC address, Permit2, Multicall3, equivalents of the x402 contracts,
 * and funded accounts.
 *
 * The chain ends with `stop` or with this process. A signature made on a chain that bears a mainnet's id is valid on that
 * mainnet: use none but the development accounts there.
 * Errors: `config/unknown-network`, `testing/no-usdc`, `testing/anvil-missing`, `testing/anvil-exited`, `testing/bad-artifact`.
 */
export async function startEvmChain(options: EvmChainOptions = {}): Promise<EvmChain> {
  const { network, chainId, usdc } = chainFacts(options.network ?? 'eip155:84532')
  const anvil = await startAnvil({ chainId, anvilPath: options.anvilPath, signal: options.signal })
  const rpc = rpcOf(anvil)
  const send = treasurySender(rpc)
  const chain: EvmChain = {
    network,
    chainId,
    rpcUrl: anvil.rpcUrl,
    pid: anvil.pid,
    usdc,
    contracts,
    accounts: developmentAccounts,
    owner,
    facilitator,
    seller,
    buyer,
    rpc,
    ...money(rpc, send, usdc.address),
    ...time(rpc),
    stop: anvil.stop,
  }
  try {
    await install(chain, send, options)
    return chain
  } catch (error) {
    await anvil.stop()
    throw error
  }
}

const thousandUsdc = 1_000_000_000n

function chainFacts(name: string): Pick<EvmChain, 'network' | 'chainId' | 'usdc'> {
  const network = parseNetwork(name)
  const asset = findAsset(network, 'USDC')
  // Version 2 of the EIP-712 domain is Circle's own contract; other tokens of the table are not what is installed here.
  if (!network.startsWith('eip155:') || asset?.eip712?.version !== '2') throw testingErrors('testing/no-usdc', { network })
  const { address, decimals, eip712 } = asset
  return { network, chainId: Number(network.slice(7)), usdc: { address: getAddress(address), decimals, ...eip712 } }
}

async function install(
  { network, rpc, usdc, mint }: EvmChain,
  send: Send,
  { balances = [], blockTime, signal }: EvmChainOptions,
): Promise<void> {
  const options = signal === undefined ? {} : { signal }
  const place: RpcCall[] = [
    ...usdcCode(usdc.address),
    setCode(multicall3Address, multicall3Code),
    ...contractCode(network),
    { method: 'anvil_impersonateAccount', params: [treasury] },
    { method: 'anvil_setBalance', params: [treasury, parseEther('1000')] },
    ...balances.flatMap(({ address, eth }) => (eth === undefined ? [] : [{ method: 'anvil_setBalance', params: [address, eth] }])),
  ]
  await Promise.all(place.map(({ method, params }) => rpc(method, params, options)))
  for (const data of usdcSetup({ name: usdc.name, owner: owner.address })) await send({ to: usdc.address, data }, options)
  const buyers = developmentAccounts.filter((account) => account.role === 'buyer')
  for (const { address, usdc: amount = 0n } of [...buyers.map(({ address }) => ({ address, usdc: thousandUsdc })), ...balances]) {
    if (amount > 0n) await mint(address, amount, options)
  }
  if (blockTime !== undefined) await rpc('evm_setIntervalMining', [blockTime], options)
}

function money(rpc: Rpc, send: Send, usdc: Address): Pick<EvmChain, 'mint' | 'balanceOf' | 'ethBalance' | 'deploySmartAccount'> {
  const mint: EvmChain['mint'] = async (to, amount, { token = usdc, ...options } = {}) => {
    await send({ to: token, data: encodeFunctionData({ abi: usdcAbi, functionName: 'mint', args: [to, amount] }) }, options)
  }
  return {
    mint,
    async balanceOf(address, { token = usdc, ...options } = {}) {
      const data = encodeFunctionData({ abi: usdcAbi, functionName: 'balanceOf', args: [address] })
      const call = { method: 'eth_call', params: [{ to: token, data }, 'latest'], result: hexSchema }
      return decodeFunctionResult({ abi: usdcAbi, functionName: 'balanceOf', data: await ask(rpc, call, options) })
    },
    async ethBalance(address, options) {
      return hexToBigInt(await ask(rpc, { method: 'eth_getBalance', params: [address, 'latest'], result: hexSchema }, options))
    },
    async deploySmartAccount(owner, { usdc: amount = thousandUsdc, ...options } = {}) {
      const account = (await send({ data: concat([smartAccountCode(), pad(owner)]) }, options)).contractAddress
      if (account == null)
        throw testingErrors('testing/rpc-failed', { method: 'eth_sendTransactionSync', why: 'the receipt names no contract' })
      if (amount > 0n) await mint(account, amount, options)
      return getAddress(account)
    },
  }
}

function time(rpc: Rpc): Pick<EvmChain, 'mine' | 'increaseTime'> {
  return {
    async mine(blocks = 1, options) {
      await rpc('anvil_mine', [BigInt(blocks)], options)
    },
    async increaseTime(seconds, options) {
      await rpc('evm_increaseTime', [seconds], options)
      await rpc('evm_mine', [], options)
      const latest = { method: 'eth_getBlockByNumber', params: ['latest', false], result: blockSchema }
      return hexToNumber((await ask(rpc, latest, options)).timestamp)
    },
  }
}

const blockSchema = z.looseObject({ timestamp: hexSchema })

function rpcOf(anvil: Anvil): Rpc {
  return async (method, params = [], options = {}) => {
    try {
      return await jsonRpc(anvil.rpcUrl, { method, params }, options)
    } catch (error) {
      if (!isX402Error(error, 'testing/rpc-failed')) throw error
      // The broken connection is seen a moment before the end of the process that explains it.
      throw await Promise.race([anvil.ended, delay(100, error)])
    }
  }
}
