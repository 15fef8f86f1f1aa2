import { paymentMiddleware } from '@x402/express'
import express from 'express'
import { officialChannelServer } from '../houses/official-channels.ts'
import { announce, argument } from './announce.ts'

const accepts = { scheme: 'batch-settlement', network: 'eip155:84532', price: '$0.001', payTo: argument.payTo } as const
const app = express().use(paymentMiddleware({ '/goods': { accepts } }, officialChannelServer({ ...argument, nonces: 'managed' })))
announce(app.get('/goods', (_, response) => void response.json({})))
