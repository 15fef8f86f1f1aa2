import { x402Facilitator } from '@x402/core/facilitator'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { toFacilitatorEvmSigner } from '@x402/evm'
import { BatchSettlementEvmScheme as ChannelFacilitator } from '@x402/evm/batch-settlement/facilitator'
import { BatchSettlementEvmScheme as ChannelServer } from '@x402/evm/batch-settlement/server'
import { registerExactEvmScheme as registerClient } from '@x402/evm/exact/client'
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator'
import { ExactEvmScheme } from '@x402/evm/exact/server'
import { x402ResourceServer } from '@x402/express'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import express from 'express'
import { createWalletClient, type Hex, http, nonceManager, publicActions, type VerifyTypedDataParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { listen } from './listen.ts'
import { type Nonces, network, paths, price, type Settler } from './terms.ts'

/** A buyer of the official house. */
export function officialFetch(privateKey: string): (url: string) => Promise<Response> {
  return wrapFetchWithPayment(fetch, registerClient(new x402Client(), { signer: privateKeyToAccount(hex(privateKey)) }))
}

/** The routes of an official seller. */
export function officialRoutes(payTo: string) {
  return { [paths.goods]: { accepts: { scheme: 'exact', network, price: price.text, payTo } } } as const
}

/** What sells in the official house. */
export function officialServer(facilitatorUrl: string): x402ResourceServer {
  return new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl })).register(network, new ExactEvmScheme())
}

type OfficialAccount = { readonly rpcUrl: string; readonly key: string; readonly nonces: Nonces }

/**
 * The official facilitator on a chain. `as wired` is what its examples do; `managed` adds viem's nonce manager and polling
 * as fast as ours.
 */
export function officialFacilitator(account: OfficialAccount): Settler {
  return officialSettler(registerExactEvmScheme(new x402Facilitator(), { signer: officialSigner(account), networks: network }))
}

/** What sells over channels in the official house, with its facilitator in process. */
export function officialChannelServer({ payTo, ...account }: OfficialAccount & { readonly payTo: string }): x402ResourceServer {
  const facilitator = new x402Facilitator().register(network, new ChannelFacilitator(officialSigner(account)))
  type Client = NonNullable<ConstructorParameters<typeof x402ResourceServer>[0]>
  const answers = {
    verify: facilitator.verify.bind(facilitator),
    settle: facilitator.settle.bind(facilitator),
    getSupported: async () => facilitator.getSupported(),
  }
  // In process it answers what it answers over HTTP; only the declarations differ.
  const client = answers as Client
  const scheme = new ChannelServer(hex(payTo), { receiverAuthorizerSigner: privateKeyToAccount(hex(account.key)) })
  return new x402ResourceServer(client).register(network, scheme)
}

function officialSigner({ rpcUrl, key, nonces }: OfficialAccount) {
  const managed = nonces === 'managed'
  const account = privateKeyToAccount(hex(key), managed ? { nonceManager } : {})
  const polling = managed ? { pollingInterval: 50 } : {}
  const wallet = createWalletClient({ account, chain: baseSepolia, transport: http(rpcUrl), ...polling }).extend(publicActions)
  return toFacilitatorEvmSigner({
    address: account.address,
    readContract: (call) => wallet.readContract({ ...call, args: call.args ?? [] }),
    // The official package leaves open what viem spells out; it hands over complete typed data.
    verifyTypedData: (call) => wallet.verifyTypedData(call as VerifyTypedDataParameters),
    writeContract: (call) => wallet.writeContract({ ...call, args: call.args ?? [] }),
    sendTransaction: (call) => wallet.sendTransaction(call),
    waitForTransactionReceipt: (call) => wallet.waitForTransactionReceipt(call),
    getCode: (call) => wallet.getCode(call),
  })
}

/** The official facilitator with its schemes. */
export function officialSettler(facilitator: x402Facilitator): Settler {
  type Payment = Parameters<typeof facilitator.verify>[0]
  type Requirements = Parameters<typeof facilitator.verify>[1]
  return {
    // Both houses speak the same wire format; only their declarations of it differ.
    verify: async ({ payment, requirements }) => (await facilitator.verify(payment as Payment, requirements as Requirements)).isValid,
    async settle({ payment, requirements }) {
      // As above.
      const { success, transaction, errorReason = '' } = await facilitator.settle(payment as Payment, requirements as Requirements)
      return { settled: success, transaction, reason: errorReason }
    },
    // It knows no HTTP of its own: served as its examples serve it.
    serve() {
      const app = express().use(express.json())
      app.get('/supported', (_, response) => void response.json(facilitator.getSupported()))
      app.post('/verify', async ({ body }, response) => {
        response.json(await facilitator.verify(body.paymentPayload, body.paymentRequirements))
      })
      app.post('/settle', async ({ body }, response) => {
        response.json(await facilitator.settle(body.paymentPayload, body.paymentRequirements))
      })
      return listen(app)
    },
  }
}

function hex(key: string): Hex {
  return `0x${key.slice(2)}`
}
