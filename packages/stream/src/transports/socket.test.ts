import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { decodeServerFrame, encodeClientFrame, type ServerFrame, streamSubprotocol } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { type PurseLane, purseLane } from '../fixtures/purse-lane.ts'
import { runSocket, type SocketRun } from './socket.ts'

// One atomic unit for each message.
const rate = { numerator: 1n, denominator: 1n }
const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

describe('a socket', () => {
  it('gives each message when it is paid, and none after', async () => {
    verifies('FS1-SOCKET')
    const lane = purseLane({ rate, unit: 'token', credit: 2n })
    const sent: boolean[] = []
    const payer = await connect({
      lane,
      async serve(socket) {
        for (const word of ['one', 'two', 'three', 'four']) sent.push(await socket.send(word))
      },
    })
    await expect.poll(() => payer.texts).toEqual(['one', 'two'])
    lane.tell({ t: 'gated', consumed: 2n, charged: 2n, reason: 'credit' })
    lane.tell({ t: 'need', consumed: 2n, charged: 2n, need: 4n, ttl: 0.5 })
    await expect
      .poll(() => payer.frames)
      .toEqual([
        { type: 'gated', reason: 'credit' },
        { type: 'need', need: 4n, ttlMs: 500 },
      ])
    expect(sent).toEqual([true, true])
    payer.tick(lane, 3n)
    await expect.poll(() => payer.texts).toEqual(['one', 'two', 'three'])
    await expect.poll(() => payer.frames.at(-1)).toEqual({ type: 'ack', accepted: 3n, consumed: 2n })
    payer.tick(lane, 4n)
    expect(await payer.closed).toBe(1000)
    expect(payer.texts).toEqual(['one', 'two', 'three', 'four'])
    expect(payer.frames.at(-1)).toEqual({ type: 'receipt', consumed: 4n, charged: 4n })
    expect([lane.used, lane.fate()]).toEqual([4n, 'end of content'])
  })

  it('lets go of the lane of who is cut off, ends that of who closes, and stops its source in both cases', async () => {
    for (const [leave, fate] of [
      ['terminate', 'released'],
      ['close', 'closed'],
    ] as const) {
      const lane = purseLane({ rate, unit: 'token', credit: 1n })
      let stopped = ''
      const payer = await connect({
        lane,
        async serve(socket) {
          await socket.send('one')
          stopped = `${await socket.send('two')} ${socket.signal.aborted}`
        },
      })
      await expect.poll(() => payer.texts).toEqual(['one'])
      if (leave === 'terminate') payer.socket.terminate()
      else payer.socket.close(1000)
      await expect.poll(() => [lane.fate(), stopped]).toEqual([fate, 'false true'])
      expect(lane.used).toBe(1n)
    }
  })

  it('hears what its payer sends, and sends bytes as bytes', async () => {
    const lane = purseLane({ rate: { numerator: 1n, denominator: 10n }, unit: 'byte', credit: 100n })
    const payer = await connect({
      lane,
      async serve(socket) {
        for await (const message of socket.messages) if (!(await socket.send(message))) return
      },
    })
    payer.socket.send('grüß')
    payer.socket.send(encodeClientFrame({ type: 'data', bytes: Uint8Array.of(0, 1, 255) }))
    await expect.poll(() => payer.frames).toEqual([{ type: 'data', bytes: Buffer.of(0, 1, 255) }])
    expect(payer.texts).toEqual(['grüß'])
    // Six letters and three bytes.
    expect(lane.units).toBe(9_000_000_000n)
  })

  it('closes on what is no frame, on a flood of ticks, and on what nobody reads', async () => {
    verifies('FS1-SOCKET')
    const still = () => new Promise<void>(() => {})
    for (const frame of [[0x00], [0x03, 1], [0x1f, 1], [0x11, 0], [0x01, 2, 3]]) {
      const payer = await connect({ lane: purseLane({ rate, unit: 'token' }), serve: still })
      payer.socket.send(Uint8Array.from(frame))
      expect(await payer.closed).toBe(1002)
    }
    const lane = purseLane({ rate, unit: 'token' })
    const flooding = await connect({ lane, serve: still, tick: () => new Promise(() => {}) })
    for (let times = 0; times < 33; times += 1) flooding.tick(lane, 1n)
    expect(await flooding.closed).toBe(1008)
    const careless = await connect({ lane: purseLane({ rate, unit: 'token' }), serve: still })
    for (let times = 0; times < 3; times += 1) careless.socket.send('x'.repeat(500_000))
    expect(await careless.closed).toBe(1008)
  })

  it('takes a tick for its own lane alone, and says what was wrong with it', async () => {
    const lane = purseLane({ rate, unit: 'token' })
    const answers = ['stale', 'signature'] as const
    let asked = 0
    const payer = await connect({ lane, serve: () => new Promise(() => {}), tick: async () => answers[asked++] ?? 'rate' })
    payer.tick(lane, 1n)
    payer.tick({ ...lane, sid: 'BBECAwQFBgcICQoLDA0ODw' }, 1n)
    payer.tick(lane, 1n)
    await expect
      .poll(() => payer.frames)
      .toEqual([
        { type: 'error', error: 'stale' },
        { type: 'error', error: 'malformed' },
        { type: 'error', error: 'signature' },
      ])
    expect(asked).toBe(2)
  })

  it('begins with the first tick where no header could be sent', async () => {
    const lane = purseLane({ rate, unit: 'token' })
    const payer = await connect({
      lane: async ({ sid }) => (sid === lane.sid ? lane : undefined),
      tick: async ({ sid, max }) => {
        if (sid !== lane.sid) return 'ended'
        lane.pay(max)
        return { accepted: max, consumed: 0n }
      },
      async serve(socket) {
        await socket.send('goods')
      },
    })
    payer.tick({ sid: 'BBECAwQFBgcICQoLDA0ODw' }, 1n)
    await expect.poll(() => payer.frames).toEqual([{ type: 'error', error: 'ended' }])
    expect(payer.texts).toEqual([])
    payer.tick(lane, 1n)
    expect(await payer.closed).toBe(1000)
    expect(payer.texts).toEqual(['goods'])
  })

  it('does not run ahead of a payer who does not read', async () => {
    const lane = purseLane({ rate, unit: 'token', credit: 10_000n })
    let sent = 0
    const payer = await connect({
      lane,
      async serve(socket) {
        while (await socket.send(new Uint8Array(100_000))) sent += 1
      },
    })
    payer.socket.pause()
    let before = -1
    await expect
      .poll(
        () => {
          const isStill = sent === before
          before = sent
          return isStill
        },
        { interval: 150 },
      )
      .toBe(true)
    expect(sent).toBeLessThan(150)
    expect(lane.used).toBeLessThanOrEqual(BigInt(sent) + 1n)
    payer.socket.terminate()
    await expect.poll(() => lane.fate()).toBe('released')
  })

  it('asks for a sign of life, and lets go of who gives none', async () => {
    const lane = purseLane({ rate, unit: 'token', credit: 1n })
    let beat = () => {}
    const payer = await connect({
      lane,
      serve: () => new Promise(() => {}),
      beats: (given) => {
        beat = given
        return () => {
          beat = () => {}
        }
      },
    })
    let pings = 0
    payer.socket.on('ping', () => {
      pings += 1
    })
    beat()
    await expect.poll(() => pings).toBe(1)
    payer.socket.pause()
    for (let times = 0; times < 4; times += 1) beat()
    await expect.poll(() => lane.fate()).toBe('released')
  })

  it('ends with 1011 where the application fails, and gives back what is left', async () => {
    const lane = purseLane({ rate, unit: 'token', credit: 5n })
    const payer = await connect({
      lane,
      async serve(socket) {
        await socket.send('one')
        throw new TypeError('a bug of the seller')
      },
    })
    expect(await payer.closed).toBe(1011)
    expect([lane.used, lane.fate()]).toEqual([1n, 'failed'])
  })
})

type Payer = {
  readonly socket: WebSocket
  readonly texts: string[]
  readonly frames: ServerFrame[]
  readonly closed: Promise<number>
  tick(lane: { readonly sid: string }, max: bigint): void
}

async function connect(run: Partial<SocketRun> & Pick<SocketRun, 'lane' | 'serve'>): Promise<Payer> {
  const http = createServer()
  const sockets = new WebSocketServer({ server: http })
  const tick: SocketRun['tick'] = async ({ max }) => {
    // Every test that ticks without an answer of its own gives such a lane.
    const lane = run.lane as PurseLane
    lane.pay(max - lane.granted)
    return { accepted: max, consumed: lane.granted - 1n }
  }
  sockets.on('connection', (raw) => runSocket(raw, { tick, beats: () => () => {}, ...run }))
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  // A server that listens on a port has such an address.
  const { port } = http.address() as AddressInfo
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, streamSubprotocol)
  const [texts, frames]: [string[], ServerFrame[]] = [[], []]
  socket.on('message', (data: Buffer, isBinary) => {
    const frame = isBinary ? decodeServerFrame(data) : undefined
    if (frame === undefined) texts.push(data.toString())
    else frames.push(frame)
  })
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  open.push(() => {
    socket.terminate()
    for (const client of sockets.clients) client.terminate()
    http.close()
  })
  await once(socket, 'open')
  return {
    socket,
    texts,
    frames,
    closed,
    tick: ({ sid }, max) => socket.send(encodeClientFrame({ type: 'tick', family: 'evm', sid, max, signature: new Uint8Array(65) })),
  }
}
