import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { x402Facilitator } from '@x402/core/facilitator'
import { type FacilitatorEvmSigner, toFacilitatorEvmSigner } from '@x402/evm'
import { registerExactEvmScheme } from '@x402/evm/exact/client'
import { registerExactEvmScheme as registerFacilitator } from '@x402/evm/exact/facilitator'
import { ExactEvmScheme } from '@x402/evm/exact/server'
import type { Erc20ApprovalGasSponsoringSigner } from '@x402/extensions'
import { x402Client } from '@x402/fetch'
import {
  createPublicClient,
  createWalletClient,
  defineChain,
  erc20Abi,
  getAddress,
  type Hex,
  http,
  isHash,
  type PublicClient,
  parseEventLogs,
  publicActions,
  type VerifyTypedDataParameters,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { createSigner } from 'x402-fetch'
import { startFacilitators } from '../facilitators.ts'
import type { Schemes, Settlement, World } from '../world.ts'

/** The network of the EVM rows, in both spellings. */
export const network = 'eip155:84532'
export const networkV1 = 'base-sepolia'

/** Starts a chain that carries Circle's contract, and the facilitators of both houses on it. */
export async function startEvmWorld(): Promise<World<EvmChain>> {
  const chain = await startEvmChain({ network })
  const writer = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  const facilitators = await startFacilitators({
    rpcUrl: chain.rpcUrl,
    ours: { scheme: exactEvmFacilitator({ chain: writer }), signer: chain.facilitator.address },
    // The owner has ether and settles nowhere else, so no nonce is shared with our facilitator.
    official: { facilitator: officialFacilitator(chain), signer: chain.owner.address },
  })
  const reader = createPublicClient({ transport: http(chain.rpcUrl) })
  return {
    chain,
    network,
    networkV1,
    transaction: /^0x[0-9a-f]{64}$/,
    schemes,
    facilitators: facilitators.byName,
    // Every authorization has a nonce of its own.
    turn: async () => {},
    settlementIn: (transaction) => settlementIn(reader, { transaction, token: chain.usdc.address }),
    async close() {
      await facilitators.close()
      await chain.stop()
    },
  }
}

const schemes: Schemes = {
  ourClient: (privateKey) => exactEvmClient({ signer: privateKeySigner(hex(privateKey)) }),
  ourServer: (payTo, { rpcUrl }) => exactEvmServer({ network, payTo, ...(rpcUrl === undefined ? {} : { rpcUrl }) }),
  officialClient: async (privateKey) => registerExactEvmScheme(new x402Client(), { signer: privateKeyToAccount(hex(privateKey)) }),
  officialServer: (server) => server.register(network, new ExactEvmScheme()),
  legacyClient: async (privateKey) => ({ signer: await createSigner(networkV1, privateKey) }),
}

/** The private key of an account of an EVM chain. */
export function hex(privateKey: string): Hex {
  // The keys of an EVM chain are written so.
  return privateKey as Hex
}

function officialFacilitator(chain: EvmChain): x402Facilitator {
  return registerFacilitator(new x402Facilitator(), { signer: officialSigner(chain), networks: network })
}

/** With what the official facilitator settles: transactions of the owner, one after the other where a payment needs several. */
export function officialSigner(chain: EvmChain): FacilitatorEvmSigner & Pick<Erc20ApprovalGasSponsoringSigner, 'sendTransactions'> {
  const account = privateKeyToAccount(chain.owner.privateKey)
  const local = defineChain({
    id: chain.chainId,
    name: 'local',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [chain.rpcUrl] } },
  })
  const wallet = createWalletClient({ account, chain: local, transport: http(chain.rpcUrl), pollingInterval: 50 }).extend(publicActions)
  const sendOne = (one: Hex | { readonly to: Hex; readonly data: Hex; readonly gas?: bigint }) =>
    typeof one === 'string' ? wallet.sendRawTransaction({ serializedTransaction: one }) : wallet.sendTransaction(one)
  const signer = toFacilitatorEvmSigner({
    address: account.address,
    readContract: (call) => wallet.readContract({ ...call, args: call.args ?? [] }),
    // The official package leaves open what viem spells out; it hands over complete typed data.
    verifyTypedData: (call) => wallet.verifyTypedData(call as VerifyTypedDataParameters),
    writeContract: (call) => wallet.writeContract({ ...call, args: call.args ?? [] }),
    sendTransaction: (call) => wallet.sendTransaction(call),
    waitForTransactionReceipt: (call) => wallet.waitForTransactionReceipt(call),
    getCode: (call) => wallet.getCode(call),
  })
  return {
    ...signer,
    async sendTransactions(transactions) {
      const hashes: Hex[] = []
      for (const one of transactions) {
        const hash = await sendOne(one)
        await wallet.waitForTransactionReceipt({ hash })
        hashes.push(hash)
      }
      return hashes
    },
  }
}

/** Who sent a transaction, and what of a token it moved. */
export async function settlementIn(
  reader: PublicClient,
  { transaction, token }: { readonly transaction: string; readonly token: Hex },
): Promise<Settlement | undefined> {
  if (!isHash(transaction)) return undefined
  const { from, logs } = await reader.getTransactionReceipt({ hash: transaction })
  const moves = parseEventLogs({ abi: erc20Abi, eventName: 'Transfer', logs }).filter((log) => getAddress(log.address) === token)
  return { sender: getAddress(from), transfers: moves.map(({ args }) => ({ from: args.from, to: args.to, value: args.value })) }
}
