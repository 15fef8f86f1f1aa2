import { x402Facilitator } from '@x402/core/facilitator'
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator'
import express from 'express'
import { officialSigner } from '../houses/official-signer.ts'
import { announce, argument } from './announce.ts'

const signer = officialSigner({ ...argument, nonces: 'as wired' })
const facilitator = registerExactEvmScheme(new x402Facilitator(), { signer, networks: 'eip155:84532' })
const app = express().use(express.json())
app.get('/supported', (_, response) => void response.json(facilitator.getSupported()))
app.post('/verify', async ({ body }, response) => {
  response.json(await facilitator.verify(body.paymentPayload, body.paymentRequirements))
})
app.post('/settle', async ({ body }, response) => {
  response.json(await facilitator.settle(body.paymentPayload, body.paymentRequirements))
})
announce(app)
