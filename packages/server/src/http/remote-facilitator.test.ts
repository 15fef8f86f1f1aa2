import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Submission } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { type HttpFacilitatorOptions, httpFacilitator } from './remote-facilitator.ts'

const network = 'eip155:84532'
const requirements = { scheme: 'exact', network, amount: '5', asset: '0xcoin', payTo: '0xseller', maxTimeoutSeconds: 60 }
const submission: Submission = { payment: { x402Version: 2, accepted: requirements, payload: { signature: '0x1' } }, requirements }

type Scripted =
  | { readonly status?: number; readonly headers?: Record<string, string>; readonly body?: unknown }
  | 'hang'
  | 'break'
  | 'breakBody'
type Seen = { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers']; readonly body: string }

const closing: (() => Promise<void>)[] = []
afterEach(() => Promise.all(closing.splice(0).map((close) => close())))

/** A real server whose answers are a script, so that every way to be wrong can be had. */
async function scripted(...answers: Scripted[]) {
  const seen: Seen[] = []
  const server = createServer(async (incoming, outgoing) => {
    let body = ''
    for await (const chunk of incoming) body += chunk
    const { method = '', url: path = '', headers } = incoming
    const answer = answers[Math.min(seen.length, answers.length - 1)] ?? 'hang'
    seen.push({ method, path, headers, body })
    if (answer === 'hang') return
    if (answer === 'break') return void outgoing.destroy()
    if (answer === 'breakBody') {
      outgoing.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"success":')
      return void setTimeout(() => outgoing.destroy(), 20)
    }
    const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body ?? {})
    outgoing.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers }).end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closing.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(() => resolve()))
  })
  // A listening server has an address with a port.
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}/x402/`
  // Who never answers is not waited for; who does may be slow.
  const timeout = answers.includes('hang') ? 300 : 15_000
  return { url, seen, facilitator: (options: HttpFacilitatorOptions = {}) => httpFacilitator(url, { timeout, ...options }) }
}

const settled = { success: true, transaction: '0xabc', network, payer: '0xpayer' }
const supported = { kinds: [{ x402Version: 2, scheme: 'exact', network }], extensions: [], signers: {} }

describe('what is asked', () => {
  it('is the official envelope at the routes of the URL, with the claim as Idempotency-Key', async () => {
    const { facilitator, seen } = await scripted({ body: supported }, { body: { isValid: true, payer: '0xpayer' } }, { body: settled })
    const remote = facilitator()
    expect(await remote.supported()).toEqual(supported)
    expect(await remote.verify(submission)).toEqual({ valid: true, payer: '0xpayer' })
    expect(await remote.settle(submission, { claimId: 'claim-1' })).toEqual({
      status: 'settled',
      transaction: '0xabc',
      network,
      payer: '0xpayer',
    })
    const envelope = JSON.stringify({ x402Version: 2, paymentPayload: submission.payment, paymentRequirements: requirements })
    expect(seen.map(({ method, path, body, headers }) => [method, path, body, headers['idempotency-key']])).toEqual([
      ['GET', '/x402/supported', '', undefined],
      ['POST', '/x402/verify', envelope, undefined],
      ['POST', '/x402/settle', envelope, 'claim-1'],
    ])
  })

  it('leaves out what /supported says of other versions', async () => {
    const kinds = [...supported.kinds, { x402Version: 1, scheme: 'exact', network: 'base-sepolia' }]
    const { facilitator } = await scripted({ body: { ...supported, kinds } })
    expect(await facilitator().supported()).toEqual(supported)
  })
})

describe('credentials', () => {
  it('are fixed headers by route', async () => {
    const { facilitator, seen } = await scripted({ body: supported }, { body: { isValid: true } })
    const remote = facilitator({ auth: { verify: { authorization: 'Bearer for-verify' } } })
    await remote.supported()
    await remote.verify(submission)
    expect(seen.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer for-verify'])
  })

  it('are made for each request from what is sent', async () => {
    const { facilitator, seen, url } = await scripted({ body: supported }, { body: settled })
    let count = 0
    const remote = facilitator({
      auth: async ({ route, method, url: asked, body }) => {
        count += 1
        return { 'x-signature': `${count} ${route} ${method} ${asked} ${body?.length}` }
      },
    })
    await remote.supported()
    await remote.settle(submission)
    expect(seen.map(({ headers }) => headers['x-signature'])).toEqual([
      `1 supported GET ${url}supported undefined`,
      `2 settle POST ${url}settle ${seen[1]?.body.length}`,
    ])
  })

  it('that cannot be made are an error, and nothing is asked', async () => {
    const { facilitator, seen } = await scripted({ body: settled })
    const remote = facilitator({ auth: () => Promise.reject(new Error('key file is gone')) })
    await expect(remote.settle(submission)).rejects.toMatchObject({ code: 'facilitator/no-credentials', moneyMoved: 'no' })
    expect(seen).toEqual([])
  })

  it('never follow a redirect (A29)', async () => {
    verifies('H56')
    const elsewhere = await scripted({ body: settled })
    for (const status of [301, 302, 303, 307, 308]) {
      const { facilitator } = await scripted({ status, headers: { location: `${elsewhere.url}settle` } })
      const remote = facilitator({ auth: { settle: { authorization: 'secret' }, verify: { authorization: 'secret' } } })
      for (const call of [remote.supported(), remote.verify(submission), remote.settle(submission)]) {
        await expect(call).rejects.toMatchObject({ code: 'facilitator/redirected', status: 502 })
      }
    }
    expect(elsewhere.seen).toEqual([])
  })

  it('of a wrong shape, and URLs of none, are errors at once (H56)', () => {
    verifies('H56')
    // A caller without types, who passes the header map of one route for all.
    const flat = { authorization: 'Bearer x' } as HttpFacilitatorOptions['auth'] & object
    expect(() => httpFacilitator('https://facilitator.example', { auth: flat })).toThrow(
      expect.objectContaining({ code: 'config/bad-facilitator-auth' }),
    )
    for (const url of [
      '',
      'facilitator.example',
      'ftp://facilitator.example',
      'https://user:secret@facilitator.example',
      'https://facilitator.example?key=1',
    ]) {
      expect(() => httpFacilitator(url)).toThrow(expect.objectContaining({ code: 'config/bad-facilitator-url' }))
      expect(() => httpFacilitator(url)).not.toThrow(/secret/)
    }
  })
})

describe('/supported', () => {
  it('is asked again after 429 only, three times in all, not before Retry-After', async () => {
    const busy = { status: 429, headers: { 'retry-after': '1' } }
    const patient = await scripted(
      busy,
      { status: 429, headers: { 'retry-after': new Date(Date.now() - 1000).toUTCString() } },
      { body: supported },
    )
    const since = performance.now()
    expect(await patient.facilitator().supported()).toEqual(supported)
    expect(performance.now() - since).toBeGreaterThan(950)
    const refused = await scripted({ status: 429, headers: { 'retry-after': '0' } })
    await expect(refused.facilitator().supported()).rejects.toMatchObject({ code: 'facilitator/unavailable' })
    expect([patient.seen.length, refused.seen.length]).toEqual([3, 3])
    const broken = await scripted({ status: 500 })
    await expect(broken.facilitator().supported()).rejects.toMatchObject({ code: 'facilitator/unavailable' })
    expect(broken.seen).toHaveLength(1)
  })

  it('stops waiting when its caller does', async () => {
    const { facilitator, seen } = await scripted({ status: 429, headers: { 'retry-after': '20' } })
    const leaving = new AbortController()
    const asking = expect(facilitator().supported({ signal: leaving.signal })).rejects.toThrow(/aborted/i)
    await expect.poll(() => seen).toHaveLength(1)
    leaving.abort()
    await asking
    expect(seen).toHaveLength(1)
  })

  it('must be what the specification says', async () => {
    for (const body of ['<html>', {}, { kinds: 'all' }, { kinds: [{ scheme: 'exact' }] }]) {
      const { facilitator } = await scripted({ body })
      await expect(facilitator().supported()).rejects.toMatchObject({ code: 'facilitator/malformed', status: 502 })
    }
  })
})

describe('/verify', () => {
  it('reads a verdict from 200 and from a refusal of 4xx, as facilitators differ', async () => {
    const body = { isValid: false, invalidReason: 'insufficient_funds', invalidMessage: 'Too poor.', payer: '0xpayer' }
    for (const status of [200, 400, 402, 412, 422]) {
      const { facilitator } = await scripted({ status, body })
      expect(await facilitator().verify(submission)).toEqual({
        valid: false,
        reason: 'insufficient_funds',
        message: 'Too poor.',
        payer: '0xpayer',
      })
    }
  })

  it('blames no payer for a facilitator that could not look', async () => {
    const { facilitator } = await scripted({ status: 500, body: { isValid: false, invalidReason: 'unexpected_verify_error' } })
    await expect(facilitator().verify(submission)).rejects.toMatchObject({ code: 'facilitator/unavailable', status: 503 })
  })

  it('believes no verdict under a status of failure', async () => {
    const { facilitator } = await scripted({ status: 400, body: { isValid: true, payer: '0xpayer' } })
    await expect(facilitator().verify(submission)).rejects.toMatchObject({ code: 'facilitator/unavailable' })
  })

  it('names refused credentials, which are not the payer’s fault (H13)', async () => {
    verifies('H13')
    for (const status of [401, 403]) {
      const { facilitator } = await scripted({ status, body: { isValid: false, invalidReason: 'unauthorized' } })
      await expect(facilitator().verify(submission)).rejects.toMatchObject({
        code: 'facilitator/unauthorized',
        status: 502,
        context: { status },
      })
    }
  })

  it('fails when nothing usable comes', async () => {
    const silent = (await scripted('hang')).facilitator().verify(submission)
    await expect(silent).rejects.toMatchObject({ code: 'facilitator/unreachable', status: 503 })
    for (const answer of ['break', 'breakBody'] as const) {
      await expect((await scripted(answer)).facilitator().verify(submission)).rejects.toMatchObject({ code: 'facilitator/unreachable' })
    }
    await expect((await scripted({ body: 'yes' })).facilitator().verify(submission)).rejects.toMatchObject({
      code: 'facilitator/malformed',
    })
    const aborted = (await scripted('hang')).facilitator().verify(submission, { signal: AbortSignal.timeout(20) })
    await expect(aborted).rejects.toMatchObject({ name: 'TimeoutError' })
  })
})

describe('/status', () => {
  it('asks by the claim, and tells an outcome from a claim that was never seen', async () => {
    verifies('M5')
    const answers = [{ settlement: settled }, { settlement: null }, { settlement: { ...settled, success: false, errorReason: 'x' } }]
    const { facilitator, seen } = await scripted(...answers.map((body) => ({ body })))
    const remote = facilitator({ auth: { status: { authorization: 'Bearer s' } } })
    expect(await remote.status?.('claim-1', { deadAfter: 1_700_000_000 })).toMatchObject({ status: 'settled', transaction: '0xabc' })
    expect(await remote.status?.('claim-1')).toBeUndefined()
    expect(await remote.status?.('claim-1')).toMatchObject({ status: 'notSettled', reason: 'x', transaction: '0xabc', retry: 'never' })
    expect(seen.map(({ method, path, body, headers }) => [method, path, body, headers.authorization])).toEqual([
      ['POST', '/x402/status', '{"claimId":"claim-1","deadAfter":1700000000}', 'Bearer s'],
      ['POST', '/x402/status', '{"claimId":"claim-1"}', 'Bearer s'],
      ['POST', '/x402/status', '{"claimId":"claim-1"}', 'Bearer s'],
    ])
  })

  it('says nothing of a claim where the answer does not', async () => {
    const failing: readonly (readonly [Scripted, string])[] = [
      [{ status: 404, body: { settlement: null } }, 'facilitator/unavailable'],
      [{ status: 500, body: { settlement: null } }, 'facilitator/unavailable'],
      [{ body: {} }, 'facilitator/malformed'],
      [{ body: 'null' }, 'facilitator/malformed'],
      ['break', 'facilitator/unreachable'],
    ]
    for (const [answer, code] of failing)
      await expect((await scripted(answer)).facilitator().status?.('claim-1')).rejects.toMatchObject({ code })
    const unsure = { body: { settlement: { success: false, errorReason: 'unexpected_settle_error', transaction: '', network } } }
    expect(await (await scripted(unsure)).facilitator().status?.('claim-1')).toEqual({ status: 'pending', network })
  })
})

describe('/settle', () => {
  const pending = { status: 'pending', network }

  it('is pending when the answer never came: silence is not "not paid" (H1)', async () => {
    verifies('H1')
    for (const answer of ['hang', 'break', 'breakBody'] as const) {
      expect(await (await scripted(answer)).facilitator().settle(submission)).toEqual(pending)
    }
    const aborted = (await scripted('hang')).facilitator().settle(submission, { signal: AbortSignal.timeout(20) })
    expect(await aborted).toEqual(pending)
    expect(await httpFacilitator('http://127.0.0.1:1').settle(submission)).toEqual(pending)
  })

  it('is pending when the facilitator failed without a proof, and keeps the transaction', async () => {
    const failed = [
      { status: 500, body: 'oops' },
      { status: 502, body: '<html>' },
      { status: 500, body: { ...settled, success: false, errorReason: 'database_down', transaction: '' } },
      { status: 404, body: 'not here' },
      { body: { ...settled, success: false, errorReason: 'unexpected_settle_error', transaction: '' } },
    ]
    for (const answer of failed) expect(await (await scripted(answer)).facilitator().settle(submission)).toMatchObject(pending)
    const known = [
      { status: 500, body: { ...settled, success: false, errorReason: 'receipt_timeout' } },
      { body: { ...settled, success: false, errorReason: 'settlement_pending' } },
      { status: 500, body: settled },
    ]
    for (const answer of known) {
      expect(await (await scripted(answer)).facilitator().settle(submission)).toMatchObject({ ...pending, transaction: '0xabc' })
    }
  })

  it('reads a refusal from 200 and 4xx, with its transaction and what to do next', async () => {
    const body = {
      ...settled,
      success: false,
      errorReason: 'invalid_exact_evm_transaction_failed: reverted',
      retry: 'never',
      deadAfter: 1900000000,
    }
    for (const status of [200, 400, 402]) {
      expect(await (await scripted({ status, body })).facilitator().settle(submission)).toEqual({
        status: 'notSettled',
        network,
        reason: 'invalid_exact_evm_transaction_failed',
        message: 'reverted',
        payer: '0xpayer',
        transaction: '0xabc',
        retry: 'never',
        deadAfter: 1900000000,
      })
    }
  })

  it('throws what proves that nothing was sent', async () => {
    const notReady = {
      status: 503,
      body: { code: 'facilitator/not-ready', moneyMoved: 'no', detail: 'Not yet.', success: false, transaction: '', network },
    }
    for (const answer of [notReady, { status: 429 }]) {
      const settling = (await scripted(answer)).facilitator().settle(submission)
      await expect(settling).rejects.toMatchObject({ code: 'facilitator/unavailable', moneyMoved: 'no' })
    }
    const settling = (await scripted({ status: 401 })).facilitator().settle(submission)
    await expect(settling).rejects.toMatchObject({ code: 'facilitator/unauthorized' })
  })

  it('does not take a success it cannot read, or one on another network', async () => {
    for (const body of ['<html>', {}, { success: 'yes' }, { success: true }, { ...settled, network: 'eip155:1' }]) {
      const settling = (await scripted({ body })).facilitator().settle(submission)
      await expect(settling).rejects.toMatchObject({ code: 'facilitator/malformed-settlement', status: 502, moneyMoved: 'unknown' })
    }
  })

  it('reads a success that names its network as version 1 does', async () => {
    const { facilitator } = await scripted({ body: { ...settled, network: 'base-sepolia' } })
    expect(await facilitator().settle(submission)).toMatchObject({ status: 'settled', network })
  })

  it('never says settled, nor that a payment may be signed anew, for an answer that does not say so', async () => {
    const body = fc.oneof(
      fc.jsonValue(),
      fc.record(
        {
          success: fc.constantFrom(false, 'true', 1, null),
          transaction: fc.string(),
          network: fc.string(),
          errorReason: fc.string(),
          retry: fc.string(),
        },
        { requiredKeys: [] },
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(200, 201, 400, 402, 404, 500, 503), body, async (status, answer) => {
        const fetch: typeof globalThis.fetch = async () => new Response(JSON.stringify(answer), { status })
        const outcome = await httpFacilitator('https://facilitator.example', { fetch })
          .settle(submission)
          .catch(() => ({ status: 'pending' }))
        expect(outcome.status).not.toBe('settled')
        if ('retry' in outcome && (answer as { retry?: string }).retry !== outcome.retry) expect(outcome.retry).toBe('never') // any JSON has or lacks retry
      }),
      { numRuns: 300 },
    )
  })
})
