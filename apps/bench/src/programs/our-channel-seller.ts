import { paid } from '@flow402x/server/express'
import { memoryStore } from '@flow402x/store/memory'
import express from 'express'
import { ourChannelServer } from '../houses/our-channels.ts'
import { announce, argument } from './announce.ts'

const server = await ourChannelServer({ ...argument, curve: 'native', store: memoryStore({ force: true }) })
announce(express().get('/goods', paid(server, { price: '$0.001' }), (_, response) => void response.json({})))
