import type { Facilitator, FacilitatorScheme } from '@flow402x/core'
import { createFacilitator } from '@flow402x/facilitator'
import { serveFacilitator } from '@flow402x/facilitator/node'
import { httpFacilitator } from '@flow402x/server'
import type { x402Facilitator } from '@x402/core/facilitator'
import express from 'express'
import { type Listening, listen } from './world.ts'

/** Who verifies and settles: `value` for our servers, `url` for everyone else's. */
export type FacilitatorPeer = {
  readonly name: 'ours, in process' | 'ours, HTTP' | '@x402/core, HTTP'
  readonly value: Facilitator
  readonly url: string
  /** Where our servers see for themselves what a facilitator cannot tell them: what became of a claim. */
  readonly rpcUrl?: string
  /** The account whose transactions settle. */
  readonly signer: string
}

/** What each house settles with on one chain; each has a signer of its own. */
export type Settlers = {
  readonly rpcUrl: string
  readonly ours: { readonly scheme: FacilitatorScheme; readonly signer: string }
  readonly official: { readonly facilitator: x402Facilitator; readonly signer: string }
}

/** Starts our facilitator and the official one. */
export async function startFacilitators({ rpcUrl, ours, official }: Settlers) {
  const local = createFacilitator({ schemes: [ours.scheme] })
  await local.start()
  const served = await serveFacilitator(local)
  const peer = await serveOfficial(official.facilitator)
  const byName: { readonly [name in FacilitatorPeer['name']]: FacilitatorPeer } = {
    'ours, in process': { name: 'ours, in process', value: local, url: served.url, signer: ours.signer },
    'ours, HTTP': { name: 'ours, HTTP', value: httpFacilitator(served.url), url: served.url, signer: ours.signer },
    '@x402/core, HTTP': {
      name: '@x402/core, HTTP',
      value: httpFacilitator(peer.url),
      url: peer.url,
      rpcUrl,
      signer: official.signer,
    },
  }
  const close = async () => {
    await served.close()
    await peer.close()
    await local.close()
  }
  return { byName, close }
}

/** The official facilitator knows no HTTP of its own: it is served as wire.md §4 describes the API, and nothing is added. */
export function serveOfficial(facilitator: x402Facilitator): Promise<Listening> {
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
