import { evmChain, exactEvmFacilitator } from '@flow402x/adapters-evm/facilitator'
import type { Facilitator } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { httpFacilitator } from '@flow402x/server'
import type { EvmChain } from '@flow402x/testing'
import { x402Facilitator } from '@x402/core/facilitator'
import { toFacilitatorEvmSigner } from '@x402/evm'
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator'
import express from 'express'
import { createWalletClient, defineChain, type Hex, http, publicActions, type VerifyTypedDataParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { type Listening, listen, network } from './world.ts'

/** Who verifies and settles: `value` for our servers, `url` for everyone else's. */
export type FacilitatorPeer = {
  readonly name: 'ours, in process' | 'ours, HTTP' | '@x402/core, HTTP'
  readonly value: Facilitator
  readonly url: string
  /** Where our servers see for themselves what a facilitator cannot tell them: what became of a claim. */
  readonly rpcUrl?: string
  /** The account whose transactions settle. */
  readonly signer: Hex
}

/** Starts our facilitator and the official one, each with a signer of its own. */
export async function startFacilitators(chain: EvmChain) {
  const writer = evmChain({ network, rpcUrl: chain.rpcUrl, signers: [chain.facilitator.privateKey] })
  const local = createFacilitator({ schemes: [exactEvmFacilitator({ chain: writer })] })
  await local.start()
  const ours = await serveFacilitator(local)
  const official = await startOfficial(chain)
  const byName: { readonly [name in FacilitatorPeer['name']]: FacilitatorPeer } = {
    'ours, in process': { name: 'ours, in process', value: local, url: ours.url, signer: chain.facilitator.address },
    'ours, HTTP': { name: 'ours, HTTP', value: httpFacilitator(ours.url), url: ours.url, signer: chain.facilitator.address },
    '@x402/core, HTTP': {
      name: '@x402/core, HTTP',
      value: httpFacilitator(official.url),
      url: official.url,
      rpcUrl: chain.rpcUrl,
      signer: chain.owner.address,
    },
  }
  const close = async () => {
    await ours.close()
    await official.close()
    await local.close()
  }
  return { byName, close }
}

/** The official facilitator knows no HTTP of its own: it is served as wire.md §4 describes the API, and nothing is added. */
async function startOfficial(chain: EvmChain): Promise<Listening> {
  // The owner has ether and settles nowhere else, so no nonce is shared with our facilitator.
  const account = privateKeyToAccount(chain.owner.privateKey)
  const local = defineChain({
    id: chain.chainId,
    name: 'local',
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [chain.rpcUrl] } },
  })
  const wallet = createWalletClient({ account, chain: local, transport: http(chain.rpcUrl), pollingInterval: 50 }).extend(publicActions)
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
  const facilitator = registerExactEvmScheme(new x402Facilitator(), { signer, networks: network })
  const app = express()
  app.use(express.json())
  app.get('/supported', (_, response) => void response.json(facilitator.getSupported()))
  app.post('/verify', async ({ body }, response) => {
    response.json(await facilitator.verify(body.paymentPayload, body.paymentRequirements))
  })
  app.post('/settle', async ({ body }, response) => {
    response.json(await facilitator.settle(body.paymentPayload, body.paymentRequirements))
  })
  return listen(app)
}
