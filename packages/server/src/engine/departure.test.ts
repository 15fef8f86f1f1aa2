import { createServer as createHttp, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactEvmServer } from '@flow402x/adapters-evm/server'
import { paymentRequiredHeader, paymentSignatureHeader } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { developmentAccounts } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { answeringFacilitator, preparePayment } from '@flow402x/testing/suites'
import { describe, expect, it } from 'vitest'
import { paid } from '../bindings/fetch.ts'
import { paid as serve } from '../bindings/node.ts'
import { watchDeparture } from '../http/departure.ts'
import { createServer, type PaidOptions } from '../index.ts'

const [, , seller, buyer] = developmentAccounts
const scheme = exactEvmServer({ network: 'base-sepolia', payTo: seller?.address ?? '' })
const payer = exactEvmClient({ signer: privateKeySigner(buyer?.privateKey ?? '0x') })

function town() {
  const facilitator = answeringFacilitator(scheme)
  const server = createServer({ facilitator, schemes: [scheme], store: memoryStore() })
  const sign = async (asked: Promise<Response>) => {
    const required = paymentRequiredHeader.decode((await asked).headers.get('PAYMENT-REQUIRED') ?? '')
    return { 'PAYMENT-SIGNATURE': paymentSignatureHeader.encode(await preparePayment(payer, { required })) }
  }
  /** How the books of the shop say that its sales ended, in any order. */
  const ends = async () => {
    const sales = []
    for await (const { outcome } of server.books()) sales.push(outcome)
    return sales
  }
  return { facilitator, server, sign, ends }
}

describe('goods of a web handler are delivered when their reader has had them', () => {
  function shop(make: () => Response, options: Partial<PaidOptions> = {}) {
    const { server, sign, ...rest } = town()
    const route = paid(server, { price: '$0.01', ...options }, make)
    const get = async (init: RequestInit = {}) => route(new Request('http://shop.test/', { ...init, headers: await sign(ask()) }))
    const ask = () => route(new Request('http://shop.test/'))
    return { ...rest, get }
  }
  const parts = () => {
    const left = ['one', 'two']
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        const part = left.shift()
        if (part === undefined) controller.close()
        else controller.enqueue(new TextEncoder().encode(part))
      },
    })
  }

  it('read to the end', async () => {
    verifies('K6')
    const { get, ends } = shop(() => new Response('goods'))
    const answer = await get()
    expect([await ends(), answer.headers.get('Content-Length')]).toEqual([['undelivered'], '5'])
    expect([await answer.text(), await ends()]).toEqual(['goods', ['delivered']])
  })

  it('not before: what nobody had is brought to a new payment of its payer, which is not settled', async () => {
    verifies(['K6', 'M4', 'M8'])
    const { facilitator, get, ends } = shop(() => new Response('goods'))
    await (await get()).body?.cancel()
    expect(await ends()).toEqual(['undelivered'])
    expect([await (await get()).text(), await ends(), facilitator.settled.length]).toEqual(['goods', ['delivered'], 1])
  })

  it('given up after the first part (M9)', async () => {
    verifies('M9')
    const { get, ends } = shop(() => new Response(parts()), { flow: 'upfront' })
    const reader = (await get()).body?.getReader()
    await reader?.read()
    expect(await ends()).toEqual(['undelivered'])
    await reader?.cancel()
    expect(await ends()).toEqual(['delivered'])
  })

  it('not where their own source breaks', async () => {
    verifies('M9')
    const broken = () => {
      const stream = parts()
      const reader = stream.getReader()
      return new ReadableStream<Uint8Array>({
        async pull(controller) {
          const { done, value } = await reader.read()
          if (done) controller.error(new TypeError('the film tore'))
          else controller.enqueue(value)
        },
      })
    }
    const { get, ends } = shop(() => new Response(broken()), { flow: 'upfront' })
    await expect((await get()).text()).rejects.toThrow('the film tore')
    expect(await ends()).toEqual(['undelivered'])
  })

  it.each(['204', 'HEAD'])('at once where there is nothing to read: %s', async (kind) => {
    const { get, ends } = shop(() => new Response(kind === '204' ? null : 'goods', { status: kind === '204' ? 204 : 200 }))
    await get({ method: kind === '204' ? 'GET' : kind })
    expect(await ends()).toEqual(['delivered'])
  })
})

describe('goods of a Node handler are delivered when the system has them', () => {
  async function shop(handle: (response: ServerResponse) => void) {
    const { server, sign, ...rest } = town()
    const http = createHttp(serve(server, { price: '$0.01', flow: 'upfront' }, (_, response) => handle(response)))
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    // A server that listens on a port has an AddressInfo.
    const { port } = http.address() as AddressInfo
    const url = `http://127.0.0.1:${port}/`
    const get = async (init: RequestInit = {}) => fetch(url, { ...init, headers: await sign(fetch(url)) })
    const close = () => {
      http.closeAllConnections()
      http.close()
    }
    return { ...rest, get, close }
  }

  it('not while they leave', async () => {
    verifies('K6')
    let film: ServerResponse | undefined
    const { get, ends, close } = await shop((response) => {
      film = response
      response.write('one ')
    })
    const answer = await get()
    expect(await ends()).toEqual(['undelivered'])
    film?.end('two')
    expect(await answer.text()).toBe('one two')
    await expect.poll(ends).toEqual(['delivered'])
    close()
  })

  it('when their reader goes away after the first part (M9)', async () => {
    verifies('M9')
    const { get, ends, close } = await shop((response) => response.write('one '))
    const away = new AbortController()
    const answer = await get({ signal: away.signal })
    expect(await ends()).toEqual(['undelivered'])
    away.abort()
    await expect(answer.text()).rejects.toThrow()
    await expect.poll(ends).toEqual(['delivered'])
    close()
  })

  it('not where their own side breaks off', async () => {
    verifies('M9')
    let runs = 0
    const { facilitator, get, ends, close } = await shop((response) => {
      runs += 1
      response.write('one ')
      if (runs === 1) setTimeout(() => response.destroy(), 20)
      else response.end('two')
    })
    const answer = await get()
    await expect(answer.text()).rejects.toThrow()
    expect(await ends()).toEqual(['undelivered'])
    await expect.poll(async () => (await get()).text()).toBe('one two')
    await expect.poll(ends).toEqual(['delivered'])
    expect(facilitator.settled).toHaveLength(1)
    close()
  })

  it.each(['ended', 'destroyed'] as const)('by every gate that it goes through: %s', async (how) => {
    verifies('M9')
    const told: (readonly [gate: string, hasLeft: boolean])[] = []
    const http = createHttp((_, response) => {
      for (const gate of ['inner', 'outer']) watchDeparture(response, async (hasLeft) => void told.push([gate, hasLeft]))
      response.write('one ')
      if (how === 'ended') response.end('two')
      else response.destroy()
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    // A server that listens on a port has an AddressInfo.
    const { port } = http.address() as AddressInfo
    const answer = fetch(`http://127.0.0.1:${port}/`).then((response) => response.text())
    await (how === 'ended' ? answer : expect(answer).rejects.toThrow())
    // Whoever waits for both ends of a response takes the first: after `finish` comes `close`.
    await expect
      .poll(() => told.slice(0, 2))
      .toEqual([
        ['inner', how === 'ended'],
        ['outer', how === 'ended'],
      ])
    http.close()
  })
})
