import express from 'express'
import { announce } from './announce.ts'

announce(express().get('/goods', (_, response) => void response.status(402).json({})))
