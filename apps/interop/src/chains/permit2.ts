import { exactEvmClient, permit2, privateKeySigner, uptoEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain, exactEvmFacilitator, uptoEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer, uptoEvmServer } from '@flow402x/adapters-evm/server'
import { type Asset, assetOf } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { x402Facilitator } from '@x402/core/facilitator'
import { ExactEvmScheme as OfficialExactClient } from '@x402/evm/exact/client'
import { ExactEvmScheme as OfficialExactFacilitator } from '@x402/evm/exact/facilitator'
import { ExactEvmScheme as OfficialExactServer } from '@x402/evm/exact/server'
import { UptoEvmScheme as OfficialUptoClient } from '@x402/evm/upto/client'
import { UptoEvmScheme as OfficialUptoFacilitator } from '@x402/evm/upto/facilitator'
import { UptoEvmScheme as OfficialUptoServer } from '@x402/evm/upto/server'
import {
  createErc20ApprovalGasSponsoringExtension,
  declareEip2612GasSponsoringExtension,
  declareErc20ApprovalGasSponsoringExtension,
  EIP2612_GAS_SPONSORING,
} from '@x402/extensions'
import { x402Client } from '@x402/fetch'
import { createPublicClient, encodeFunctionData, erc20Abi, http, maxUint256, parseEther } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { startFacilitators } from '../facilitators.ts'
import type { Schemes, World } from '../world.ts'
import { hex, network, networkV1, officialSigner, settlementIn } from './evm.ts'

/** What stands of Permit2's approval before each purchase: all of it, or nothing and what the payer signs instead. */
export type Approval = 'approved before' | 'by EIP-2612' | 'by a signed approval'

/** Which scheme goes through Permit2, and by which approval. */
export type Permit2Plan = { readonly scheme: 'exact' | 'upto'; readonly approval: Approval }

/** Starts a chain on which everybody pays through Permit2. */
export async function startPermit2World({ scheme, approval }: Permit2Plan): Promise<World<EvmChain>> {
  const chain = await startEvmChain({ network })
  const { rpcUrl, facilitator, owner, usdc } = chain
  const writer = evmChain({ network, rpcUrl, signers: [facilitator.privateKey] })
  const facilitators = await startFacilitators({
    rpcUrl,
    ours: {
      scheme: scheme === 'upto' ? uptoEvmFacilitator({ chain: writer }) : exactEvmFacilitator({ chain: writer }),
      signer: facilitator.address,
    },
    official: { facilitator: officialFacilitator(chain, scheme), signer: owner.address },
  })
  const reader = createPublicClient({ transport: http(rpcUrl) })
  const turn = () => approve(chain, approval === 'approved before' ? maxUint256 : 0n)
  await turn()
  return {
    chain,
    network,
    networkV1,
    transaction: /^0x[0-9a-f]{64}$/,
    schemes: scheme === 'upto' ? uptoSchemes(rpcUrl, approval) : exactSchemes(rpcUrl, approval),
    ...(scheme === 'upto' ? { used: { said: '41.5%', paid: 4150n } } : {}),
    facilitators: facilitators.byName,
    turn,
    settlementIn: (transaction) => settlementIn(reader, { transaction, token: usdc.address }),
    async close() {
      await facilitators.close()
      await chain.stop()
    },
  }
}

function officialFacilitator(chain: EvmChain, scheme: 'exact' | 'upto'): x402Facilitator {
  const signer = officialSigner(chain)
  return new x402Facilitator()
    .register(network, scheme === 'upto' ? new OfficialUptoFacilitator(signer) : new OfficialExactFacilitator(signer))
    .registerExtension(EIP2612_GAS_SPONSORING)
    .registerExtension(createErc20ApprovalGasSponsoringExtension(signer))
}

function exactSchemes(rpcUrl: string, approval: Approval): Schemes {
  return {
    ourClient: (key) => exactEvmClient({ signer: privateKeySigner(hex(key)), methods: [permit2(payerOptions(rpcUrl))] }),
    ourServer: (payTo, peer) =>
      exactEvmServer({ network, payTo, asset: assetFor(approval), transfer: 'permit2', ...(peer.rpcUrl && { rpcUrl: peer.rpcUrl }) }),
    officialClient: async (key) => new x402Client().register(network, new OfficialExactClient(privateKeyToAccount(hex(key)), { rpcUrl })),
    officialServer: (server) => server.register(network, new OfficialExactServer()),
    officialRoute: { scheme: 'exact', extra: { assetTransferMethod: 'permit2' }, extensions: declared(approval) },
    legacyClient: noLegacy,
  }
}

function uptoSchemes(rpcUrl: string, approval: Approval): Schemes {
  return {
    ourClient: (key) => uptoEvmClient({ signer: privateKeySigner(hex(key)), ...payerOptions(rpcUrl) }),
    ourServer: (payTo, peer) => uptoEvmServer({ network, payTo, asset: assetFor(approval), ...(peer.rpcUrl && { rpcUrl: peer.rpcUrl }) }),
    officialClient: async (key) => new x402Client().register(network, new OfficialUptoClient(privateKeyToAccount(hex(key)), { rpcUrl })),
    officialServer: (server) => server.register(network, new OfficialUptoServer()),
    officialRoute: { scheme: 'upto', extensions: declared(approval) },
    legacyClient: noLegacy,
  }
}

function payerOptions(rpcUrl: string) {
  return { rpcUrls: { [network]: rpcUrl }, maxApprovalFee: parseEther('0.1') }
}

/** A seller who says that the token has no permit offers the other way alone. */
function assetFor(approval: Approval): Asset {
  const usdc = assetOf(network)
  return approval === 'by a signed approval' ? { ...usdc, permit: false } : usdc
}

function declared(approval: Approval): Record<string, unknown> {
  if (approval === 'approved before') return {}
  return approval === 'by EIP-2612' ? declareEip2612GasSponsoringExtension() : declareErc20ApprovalGasSponsoringExtension()
}

async function noLegacy(): Promise<never> {
  throw new TypeError('version 1 knows no Permit2')
}

async function approve({ rpc, buyer, usdc, contracts }: EvmChain, amount: bigint): Promise<void> {
  const data = encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [contracts.permit2, amount] })
  await rpc('eth_sendTransactionSync', [{ from: buyer.address, to: usdc.address, data }])
}
