import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { verifies } from '@flow402x/testing/requirements'
import express, { type RequestHandler } from 'express'
import fastify, { type preHandlerHookHandler } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { viewed as viewedInExpress } from '../express.ts'
import { viewed as viewedInFastify } from '../fastify.ts'
import { purseLane } from '../fixtures/purse-lane.ts'
import { viewed as viewedOnNode } from '../node.ts'
import { createViews, createWindows, type StreamRequest, type Views, windowed } from '../server.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

// Asks everybody for money.
const inExpress: RequestHandler = (_, response) => void response.status(402).end()
const inFastify: preHandlerHookHandler = (_, reply) => void reply.status(402).send()

/** A cheap film and a dear one, each at its path and all below it, by one secret. */
const cinemas: Readonly<Record<string, (views: Views) => Server | Promise<Server>>> = {
  Express(views) {
    const app = express()
    for (const film of ['/cheap', '/dear']) app.use(film, viewedInExpress(views, inExpress), (_, response) => void response.send(film))
    return createServer(app)
  },
  async Fastify(views) {
    const app = fastify({ forceCloseConnections: true })
    for (const film of ['/cheap', '/dear'])
      for (const path of [film, `${film}/*`]) app.get(path, { preHandler: viewedInFastify(views, inFastify) }, async () => film)
    await app.ready()
    return app.server
  },
  Node(views) {
    const ask: RequestListener = (_, response) => void response.writeHead(402).end()
    const shows = (film: string) =>
      viewedOnNode(
        views,
        () => async (request, response) => ask(request, response),
        (_, response) => response.end(film),
      )
    const [cheap, dear] = [shows('/cheap'), shows('/dear')]
    return createServer((request, response) => void (request.url?.startsWith('/dear') ? dear : cheap)(request, response))
  },
}

async function ask(server: Server, target: string, headers: readonly string[]): Promise<string> {
  // Of a server that listens on a port it is the address.
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.write([`GET ${target} HTTP/1.1`, 'Connection: close', ...headers, '', ''].join('\r\n'))
  return text(socket)
}

describe.each(Object.entries(cinemas))('a pass in %s', (_, build) => {
  async function opened() {
    const views = createViews({ secret: 'a secret of the seller, which is long enough' })
    const server = (await build(views)).listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(() => new Promise((resolve) => server.close(resolve).closeAllConnections()))
    const passFor = async (resource: string) => `Payment-Pass: ${(await views.grant({ resource, viewer: 'somebody' })).pass}`
    return { server, passFor }
  }

  it('opens what was paid for, and by no other spelling of Host or path anything else', async () => {
    verifies(['H3', 'FS1-VIEW-GRANT'])
    const { server, passFor } = await opened()
    const [cheap, root] = [await passFor('/cheap'), await passFor('/')]
    const shop = 'Host: shop.test'
    expect(await ask(server, '/cheap', [shop, cheap])).toContain('200 OK')
    const hostile: readonly (readonly [target: string, host: string, pass: string])[] = [
      ['/dear', 'Host: shop.test/cheap?', cheap],
      ['/dear', 'Host: shop.test/cheap#', cheap],
      ['/dear', 'Host: shop.test\\cheap?', cheap],
      ['/dear', 'Host: shop.test?', root],
      ['/dear', 'Host: shop.test#', root],
      ['/dear', 'Host: ?', root],
      ['/dear', 'Host: a b', root],
      ['/dear', 'Host: a:b:c', root],
      ['/cheap/below', shop, cheap],
      ['/dear', shop, root],
      ['/dear', 'Host: user@shop.test/cheap?', cheap],
      ['/dear/../cheap', shop, cheap],
      ['/dear/%2e%2e/cheap', shop, cheap],
      ['/dear/.%2E/cheap', shop, cheap],
      ['/dear/\\..\\..\\cheap', shop, cheap],
      ['/dear/..', shop, root],
      ['/dear#/../cheap', shop, cheap],
      ['/dear?/../cheap', shop, cheap],
      ['/dear/', shop, cheap],
      ['http://shop.test/dear', shop, cheap],
      ['http://shop.test/dear/../cheap', shop, cheap],
    ]
    for (const [target, host, pass] of hostile) {
      const answer = await ask(server, target, [host, pass])
      expect([target, host, answer.includes('200 OK'), answer.endsWith('/dear')]).toEqual([target, host, false, false])
    }
  })
})

it('a window of access opens its own path and no other, in whatever way that is spelled', async () => {
  verifies(['H3', 'T7'])
  const windows = createWindows({ secret: 'a secret of the seller, which is long enough' })
  const part = windowed(windows, { seconds: 60, serve: ({ url }) => new Response(url) })
  const lane = purseLane({ rate: { numerator: 1n, denominator: 1n }, unit: 'second', credit: 10_000n })
  const opens = async (bought: string, asked: string): Promise<boolean> => {
    const given = await part.take(lane, requestOf(bought))
    const pass = given instanceof Response ? (given.headers.get('payment-pass') ?? '') : ''
    return (await part.shown?.(requestOf(asked, pass))) !== undefined
  }
  const long = `/${'a'.repeat(300)}`
  for (const path of ['/news', '/news/', '/', long]) expect([path, await opens(path, `${path}?page=2`)]).toEqual([path, true])
  for (const [bought, asked] of [
    ['/news/', '/news/dear'],
    ['/', '/dear'],
    ['/cheap', '/dear/../cheap'],
    [long, `${long}b`],
  ] as const)
    expect([bought, asked, await opens(bought, asked)]).toEqual([bought, asked, false])
})

function requestOf(path: string, pass?: string): StreamRequest {
  const header = (name: string): string | undefined => (name === 'payment-pass' ? pass : undefined)
  return { method: 'GET', url: `https://shop.test${path}`, header, body: async () => '' }
}
