import { claimStatusExtension } from '@flow402x/core'
import { listen } from '../houses/listen.ts'
import { network } from '../houses/terms.ts'
import { playRole } from '../measure/part.ts'

// Says yes to every payment without looking, so that a row can measure what stands around a facilitator. Plain
// Node: it must cost next to nothing.
const supported = JSON.stringify({ kinds: [{ x402Version: 2, scheme: 'exact', network }], extensions: [claimStatusExtension], signers: {} })

const transaction = `0x${'ab'.repeat(32)}`

playRole({
  url: await listen((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      response.setHeader('content-type', 'application/json')
      if (request.url === '/supported') return void response.end(supported)
      const payer = /"from":"(0x[0-9a-fA-F]{40})"/.exec(Buffer.concat(chunks).toString('latin1'))?.[1] ?? ''
      const answer = request.url === '/verify' ? { isValid: true, payer } : { success: true, transaction, network, payer }
      response.end(JSON.stringify(answer))
    })
  }),
})
