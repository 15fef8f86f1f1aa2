import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifies } from '@flow402x/testing/requirements'
import { freePort } from '@flow402x/testing/servers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isLoopbackAddress, isPublicAddress } from './address.ts'
import { createFetcher } from './fetcher.ts'

describe('public addresses', () => {
  it.each(['1.1.1.1', '8.8.8.8', '93.184.216.34', '100.63.255.255', '172.32.0.1', '2606:4700:4700::1111', '2a00:1450::1'])(
    'lets %s pass',
    (address) => expect(isPublicAddress(address)).toBe(true),
  )

  it.each(
    `0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8
     192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
     :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:a9fe:a9fe ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::
     2001:db8::1 2002:7f00:1:: 3fff::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 2606:4700::1%25lo example 2130706433 0x7f.1`
      .trim()
      .split(/\s+/),
  )('refuses %s', (address) => {
    verifies('A20')
    expect(isPublicAddress(address)).toBe(false)
  })

  it('knows this machine', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1'].every(isLoopbackAddress)).toBe(true)
    expect(['10.0.0.1', '::', '::ffff:127.0.0.1', '128.0.0.1'].some(isLoopbackAddress)).toBe(false)
  })
})

describe('a fetcher', () => {
  let connections = 0
  let listener: RequestListener = (_, response) => response.end()
  const server = createServer((request, response) => listener(request, response)).on('connection', () => {
    connections += 1
  })
  let port = 0
  beforeAll(async () => {
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve)
    })
    // A server that listens on a port has an address with one.
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => {
    server.closeAllConnections()
    server.close()
  })
  const asks = async (work: () => Promise<unknown>) => {
    const before = connections
    const result = await work()
    return { result, connections: connections - before }
  }
  const to =
    (...addresses: string[]) =>
    async () =>
      addresses

  it.each([
    ['the metadata address', 'https://169.254.169.254/latest/meta-data/'],
    ['its decimal spelling', 'https://2852039166/'],
    ['its octal spelling', 'https://0251.0376.0251.0376/'],
    ['this machine', 'https://127.0.0.1:PORT/'],
    ['this machine in decimal', 'https://2130706433:PORT/'],
    ['this machine in hex', 'https://0x7f000001:PORT/'],
    ['this machine in octal', 'https://0177.0.0.1:PORT/'],
    ['this machine in short', 'https://127.1:PORT/'],
    ['this machine with a dot', 'https://127.0.0.1.:PORT/'],
    ['this machine in full-width digits', 'https://１２７.0.0.1:PORT/'],
    ['nowhere', 'https://0.0.0.0:PORT/'],
    ['this machine in IPv6', 'https://[::1]:PORT/'],
    ['this machine mapped', 'https://[::ffff:127.0.0.1]:PORT/'],
    ['this machine mapped in hex', 'https://[::ffff:7f00:1]:PORT/'],
    ['this machine translated', 'https://[64:ff9b::7f00:1]:PORT/'],
    ['a link-local address', 'https://[fe80::1]/'],
    ['a private network', 'https://192.168.0.1/'],
  ])('never connects to %s', async (_, url) => {
    verifies('A20')
    expect(await asks(() => createFetcher()(url.replace('PORT', String(port))))).toEqual({
      result: { reason: 'blocked_address', message: expect.any(String) },
      connections: 0,
    })
  })

  it.each([
    ['loopback', ['127.0.0.1']],
    ['a private network', ['10.1.2.3']],
    ['one public and one private address', ['93.184.216.34', '127.0.0.1']],
    ['a mapped address', ['::ffff:127.0.0.1']],
    ['the metadata address', ['169.254.169.254']],
    ['what is no address', ['localhost']],
  ])('never connects where a name leads to %s', async (_, addresses) => {
    verifies('A20')
    const fetcher = createFetcher({ resolve: to(...addresses) })
    expect(await asks(() => fetcher(`https://innocent.example:${port}/`))).toMatchObject({
      result: { reason: 'blocked_address' },
      connections: 0,
    })
  })

  it('asks a name once and connects to what was checked, so that a second answer changes nothing', async () => {
    verifies('A20')
    let asked = 0
    const rebinding = async () => {
      asked += 1
      return asked === 1 ? ['127.0.0.1'] : ['10.0.0.1']
    }
    listener = (request, response) => response.end(request.headers.host)
    const answer = await createFetcher({ resolve: rebinding, allowLoopback: true })(`http://seller.example:${port}/`)
    expect({ answer, asked }).toMatchObject({ answer: { status: 200, body: `seller.example:${port}` }, asked: 1 })
  })

  it('checks a name again where a redirect names it again', async () => {
    verifies('A20')
    let asked = 0
    const rebinding = async () => {
      asked += 1
      return asked === 1 ? ['127.0.0.1'] : ['192.168.0.9']
    }
    listener = (_, response) => response.writeHead(302, { location: '/next' }).end()
    const work = () => createFetcher({ resolve: rebinding, allowLoopback: true })(`http://seller.example:${port}/`)
    expect(await asks(work)).toMatchObject({ result: { reason: 'blocked_address' }, connections: 1 })
  })

  it.each([301, 302, 303, 307, 308])('follows a %i to nobody else', async (status) => {
    verifies('A20')
    const fetcher = createFetcher({ resolve: to('127.0.0.1'), allowLoopback: true })
    for (const location of [
      'http://169.254.169.254/',
      `http://127.0.0.1:${port}/x`,
      '//[::1]/',
      'https://seller.example/',
      'file:///etc/passwd',
      'http://u@seller.example/',
    ]) {
      listener = (_, response) => response.writeHead(status, { location }).end()
      expect(await asks(() => fetcher(`http://seller.example:${port}/`))).toMatchObject({
        result: { reason: 'redirected_away' },
        connections: 1,
      })
    }
  })

  it('follows redirects on the same origin, a few', async () => {
    listener = ({ url = '' }, response) => {
      if (url.length < 4) response.writeHead(307, { location: `${url}a` }).end()
      else response.writeHead(402).end('here')
    }
    const fetcher = createFetcher({ allowLoopback: true })
    const base = `http://127.0.0.1:${port}/`
    expect(await fetcher(base)).toMatchObject({ status: 402, body: 'here', url: `${base}aaa` })
    listener = (_, response) => response.writeHead(307, { location: '/' }).end()
    expect(await fetcher(base)).toMatchObject({ reason: 'redirected_away' })
  })

  it.each([
    ['http://seller.example/', 'insecure_url'],
    ['ftp://seller.example/', 'bad_url'],
    ['file:///etc/passwd', 'bad_url'],
    ['seller.example', 'bad_url'],
    ['https://user:pass@seller.example/', 'bad_url'],
  ])('refuses %s', async (url, reason) => {
    verifies('A20')
    expect(await createFetcher({ resolve: to('93.184.216.34') })(url)).toMatchObject({ reason })
  })

  it('in development takes http from this machine alone', async () => {
    verifies('A20')
    for (const address of ['10.0.0.1', '169.254.169.254', '192.168.1.1', '::ffff:127.0.0.1'])
      expect(await createFetcher({ resolve: to(address), allowLoopback: true })('http://seller.example/')).toMatchObject({
        reason: 'blocked_address',
      })
    expect(await createFetcher({ resolve: to('93.184.216.34'), allowLoopback: true })('http://seller.example/')).toMatchObject({
      reason: 'insecure_url',
    })
  })

  it('ends what is too slow or too large', async () => {
    verifies('A20')
    const fetcher = createFetcher({ allowLoopback: true, timeout: 150, mostBytes: 1000 })
    const url = `http://127.0.0.1:${port}/`
    listener = (_, response) => void response.writeHead(402).write('a')
    expect(await fetcher(url)).toMatchObject({ reason: 'timed_out' })
    listener = () => {}
    expect(await fetcher(url)).toMatchObject({ reason: 'timed_out' })
    listener = (_, response) => response.end('a'.repeat(1001))
    expect(await fetcher(url)).toMatchObject({ reason: 'too_large' })
    listener = (_, response) => response.writeHead(200, { x: 'a'.repeat(40_000) }).end()
    expect(await fetcher(url)).toMatchObject({ reason: 'too_large' })
    const never = createFetcher({ resolve: () => new Promise(() => {}), timeout: 100 })
    expect(await never('https://seller.example/')).toMatchObject({ reason: 'timed_out' })
  })

  it('says that nobody is there, and stops when it is told', async () => {
    const closed = await freePort()
    const fetcher = createFetcher({ allowLoopback: true, resolve: () => Promise.reject(new Error('no such name')) })
    expect(await fetcher(`http://127.0.0.1:${closed}/`)).toMatchObject({
      reason: 'unreachable',
      message: expect.stringContaining('ECONNREFUSED'),
    })
    expect(await fetcher('https://missing.example/')).toMatchObject({ reason: 'unreachable' })
    listener = () => {}
    const aborting = fetcher(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(50) })
    await expect(aborting).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})
