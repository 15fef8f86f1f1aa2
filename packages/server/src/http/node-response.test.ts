import { createServer as createHttp, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifies } from '@flow402x/testing/requirements'
import { expect, it } from 'vitest'
import { takeResponse } from './node-response.ts'

/** What a server of one response answers to, and what its handler told meanwhile. */
async function served(handle: (response: ServerResponse, log: string[]) => Promise<void>) {
  const log: string[] = []
  let failure: unknown
  const http = createHttp((_, response) => {
    handle(response, log).catch((cause: unknown) => {
      failure = cause
      response.socket?.destroy()
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has an AddressInfo.
  const { port } = http.address() as AddressInfo
  const answer = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined)
  const { status, headers } = answer ?? {}
  const text = await answer?.text()
  http.close()
  return { failure, status, text, log, header: (name: string) => headers?.get(name) }
}

it.each(['nothing', 'a patch', 'a late patch'])('what two gates hold leaves when both let it, with %s between them', async (between) => {
  verifies('M7')
  const { failure, status, text, log, header } = await served(async (response, told) => {
    const outer = takeResponse(response, 1000)
    const { end } = response
    const patched = (...given: unknown[]) => {
      told.push('patch')
      const on = () => Reflect.apply(end, response, given)
      if (between === 'a patch') return on()
      // As who compresses does: what comes is given on when it is done.
      setImmediate(on)
      return response
    }
    if (between !== 'nothing') Object.assign(response, { end: patched })
    const inner = takeResponse(response, 1000)
    response.end('goods')
    told.push(`inner ${(await inner.result).status}`)
    expect(response.writableEnded).toBe(true)
    inner.deliver((headers) => headers.set('x-inner', '1'))
    told.push(`outer ${(await outer.result).status}`)
    outer.deliver((headers) => headers.set('x-outer', '1'))
  })
  expect(failure).toBeUndefined()
  expect([status, text, header('x-inner'), header('x-outer')]).toEqual([200, 'goods', '1', '1'])
  expect(log).toEqual(['inner 200', ...(between === 'nothing' ? [] : ['patch']), 'outer 200'])
})

it('what an inner gate answers in the place of a handler is what an outer one has', async () => {
  verifies('M7')
  const { failure, status, text } = await served(async (response) => {
    const outer = takeResponse(response, 1000)
    const inner = takeResponse(response, 1000)
    response.end('goods')
    await inner.result
    inner.replace(() => {
      response.statusCode = 402
      response.end('pay')
    })
    // Comes late, and goes nowhere.
    response.end('goods')
    expect((await outer.result).status).toBe(402)
    outer.deliver(() => {})
  })
  expect([failure, status, text]).toEqual([undefined, 402, 'pay'])
})
