import { HTTPFacilitatorClient } from '@x402/core/server'
import { ExactEvmScheme } from '@x402/evm/exact/server'
import { paymentMiddleware, x402ResourceServer } from '@x402/express'
import express from 'express'
import { announce, argument } from './announce.ts'

const { facilitatorUrl, payTo } = argument
const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: facilitatorUrl })).register('eip155:84532', new ExactEvmScheme())
const accepts = { scheme: 'exact', network: 'eip155:84532', price: '$0.001', payTo } as const
const app = express().use(paymentMiddleware({ '/goods': { accepts } }, server))
announce(app.get('/goods', (_, response) => void response.json({})))
