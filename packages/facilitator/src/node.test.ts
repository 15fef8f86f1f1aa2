import { request } from 'node:http'
import { describe, expect, it } from 'vitest'
import { createFacilitator } from './engine/facilitator.ts'
import { smallChain, smallPayment, smallScheme } from './fixtures/small-chain.ts'
import { serveFacilitator } from './node.ts'

const { payment, requirements } = smallPayment('a')
const body = JSON.stringify({ x402Version: 2, paymentPayload: payment, paymentRequirements: requirements })

describe('a served facilitator', () => {
  it('answers on loopback, and no more after it was closed', async () => {
    const served = await serveFacilitator(createFacilitator({ schemes: [smallScheme(smallChain())] }))
    expect(served.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const settled = await fetch(`${served.url}/settle`, { method: 'POST', body })
    expect(await settled.json()).toMatchObject({ success: true, transaction: 'tx1' })
    await served.close()
    await expect(fetch(`${served.url}/supported`)).rejects.toThrow()
  })

  it('answers what is under way before it is closed', async () => {
    const chain = smallChain()
    chain.onSend = () => new Promise((resolve) => setTimeout(resolve, 100))
    const served = await serveFacilitator(createFacilitator({ schemes: [smallScheme(chain)] }))
    const settling = fetch(`${served.url}/settle`, { method: 'POST', body }).then((response) => response.json())
    await expect.poll(() => chain.log.length).toBeGreaterThan(0)
    await served.close()
    expect(await settling).toMatchObject({ success: true })
  })

  it('cannot take a port that is taken', async () => {
    const facilitator = createFacilitator({ schemes: [smallScheme(smallChain())] })
    const served = await serveFacilitator(facilitator)
    await expect(serveFacilitator(facilitator, { port: Number(new URL(served.url).port) })).rejects.toMatchObject({ code: 'EADDRINUSE' })
    await served.close()
  })

  it('does not trust Host, and answers a target that is no path', async () => {
    const served = await serveFacilitator(createFacilitator({ schemes: [smallScheme(smallChain())] }))
    const status = (path: string, host: string, method = 'GET'): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        const { hostname, port } = new URL(served.url)
        const asking = request({ hostname, port, path, method, headers: { host } }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        asking.on('error', reject).end()
      })
    expect(await status('/supported', ']bad host[')).toBe(200)
    expect(await status('//', 'x')).toBe(404)
    expect(await status('http://[', 'x')).toBe(400)
    expect(await status('http://elsewhere.example/supported', 'x')).toBe(200)
    expect(await status('/supported', 'x', 'TRACE')).toBe(405)
    expect(await status('/supported', 'x', 'HEAD')).toBe(405)
    await served.close()
  })

  it('refuses a large body without reading it all', async () => {
    const served = await serveFacilitator(createFacilitator({ schemes: [smallScheme(smallChain())] }))
    const response = await fetch(`${served.url}/verify`, { method: 'POST', body: ' '.repeat(300_000) })
    expect(response.status).toBe(413)
    await served.close()
  })

  it('tells the facilitator when its caller has gone', async () => {
    let gone = false
    const chain = smallChain()
    const scheme = smallScheme(chain, {
      verify: (_, { signal } = {}) =>
        new Promise((_, reject) => {
          signal?.addEventListener('abort', () => {
            gone = true
            reject(signal.reason)
          })
        }),
    })
    const served = await serveFacilitator(createFacilitator({ schemes: [scheme] }))
    await expect(fetch(`${served.url}/settle`, { method: 'POST', body, signal: AbortSignal.timeout(100) })).rejects.toThrow()
    await expect.poll(() => gone).toBe(true)
    expect(chain.log).toEqual([])
    await served.close()
  })
})
