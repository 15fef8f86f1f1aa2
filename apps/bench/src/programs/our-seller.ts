import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { createServer, httpFacilitator } from '@flow402x/server'
import { paid } from '@flow402x/server/express'
import { memoryStore } from '@flow402x/store/memory'
import express from 'express'
import { announce, argument } from './announce.ts'

const { facilitatorUrl, payTo } = argument
const server = createServer({
  facilitator: httpFacilitator(facilitatorUrl),
  store: memoryStore({ force: true }),
  // More is sold in a minute than a facilitator is believed by default.
  trust: '$1000000',
  schemes: [exactEvmServer({ network: 'eip155:84532', payTo })],
})
announce(express().get('/goods', paid(server, { price: '$0.001' }), (_, response) => void response.json({})))
