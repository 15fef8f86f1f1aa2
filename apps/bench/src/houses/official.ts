import { x402Facilitator } from '@x402/core/facilitator'
import { HTTPFacilitatorClient } from '@x402/core/server'
import { registerExactEvmScheme as registerClient } from '@x402/evm/exact/client'
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator'
import { ExactEvmScheme } from '@x402/evm/exact/server'
import { x402ResourceServer } from '@x402/express'
import { wrapFetchWithPayment, x402Client } from '@x402/fetch'
import express from 'express'
import { privateKeyToAccount } from 'viem/accounts'
import { listen } from './listen.ts'
import { type OfficialAccount, officialSigner } from './official-signer.ts'
import { hex, network, paths, price, type Settler } from './terms.ts'

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

/**
 * The official facilitator on a chain. `as wired` is what its examples do; `managed` adds viem's nonce manager and polling
 * as fast as ours.
 */
export function officialFacilitator(account: OfficialAccount): Settler {
  return officialSettler(registerExactEvmScheme(new x402Facilitator(), { signer: officialSigner(account), networks: network }))
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
