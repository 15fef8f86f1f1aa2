import express from 'express'
import { mppxExpress } from '../houses/mppx.ts'
import { announce, argument } from './announce.ts'

announce(express().get('/goods', mppxExpress(argument), (_, response) => void response.json({})))
