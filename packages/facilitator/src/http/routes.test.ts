import type { Facilitator, Outcome, SettleOptions, Submission, Verdict } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { FacilitatorEvent } from '../engine/events.ts'
import { createFacilitator } from '../engine/facilitator.ts'
import { lost, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import type { EndpointOptions } from './routes.ts'
import { facilitatorEndpoint } from './web.ts'

const { payment, requirements } = smallPayment('a')
const body = { x402Version: 2, paymentPayload: payment, paymentRequirements: requirements }

function setUp(options: EndpointOptions & { readonly facilitator?: Partial<Facilitator> } = {}) {
  const asked: { submission: Submission; options: SettleOptions | undefined }[] = []
  const events: FacilitatorEvent[] = []
  const whole = createFacilitator({ schemes: [smallScheme(smallChain())] })
  const facilitator: Facilitator = {
    ...whole,
    async settle(submission, call) {
      asked.push({ submission, options: call })
      return whole.settle(submission, call)
    },
    ...options.facilitator,
  }
  const handle = facilitatorEndpoint(facilitator, { onEvent: (event) => events.push(event), ...options })
  const post = (path: string, content: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    handle(
      new Request(`https://facilitator.example${path}`, {
        method: 'POST',
        headers,
        body: typeof content === 'string' ? content : content instanceof Uint8Array ? new Uint8Array(content) : JSON.stringify(content),
      }),
    )
  const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    handle(new Request(`https://facilitator.example${path}`, { headers }))
  return { handle, post, get, asked, events }
}

describe('the routes', () => {
  it('answer below any base path, and are not stored', async () => {
    const { post, get } = setUp()
    for (const response of [
      await get('/supported'),
      await get('/x402/v2/supported?fresh=1'),
      await post('/verify', body),
      await post('/base/settle', body),
    ]) {
      expect([response.status, response.headers.get('cache-control'), response.headers.get('content-type')]).toEqual([
        200,
        'no-store',
        'application/json',
      ])
    }
  })

  it('are the official JSON', async () => {
    verifies(['VERIFY-JSON', 'SETTLE-JSON', 'FAC-SUPPORTED'])
    const { post, get } = setUp()
    expect(await (await get('/supported')).json()).toMatchInlineSnapshot(`
      {
        "extensions": [
          "flow402x-claim-status",
        ],
        "kinds": [
          {
            "network": "test:1",
            "scheme": "small",
            "x402Version": 2,
          },
        ],
        "signers": {
          "test:*": [
            "one",
          ],
        },
      }
    `)
    expect(await (await post('/verify', body)).json()).toEqual({ isValid: true, payer: 'payer' })
    expect(await (await post('/settle', body)).json()).toEqual({ success: true, transaction: 'tx1', network: 'test:1', payer: 'payer' })
  })

  it('answer 200 for what is wrong with a payment (wire.md §22.11)', async () => {
    verifies('FAC-200')
    const { post } = setUp()
    const bad = { ...body, paymentPayload: { ...payment, payload: { id: 'b', good: false } } }
    const verified = await post('/verify', bad)
    const settled = await post('/settle', bad)
    expect([verified.status, await verified.json()]).toEqual([200, { isValid: false, invalidReason: 'invalid_payload' }])
    expect([settled.status, await settled.json()]).toEqual([
      200,
      {
        success: false,
        errorReason: 'invalid_payload',
        transaction: '',
        network: 'test:1',
        payer: 'payer',
        retry: 'never',
        deadAfter: 2_000_000_000,
      },
    ])
  })

  it('tell what became of a claim, and bury one that nobody has seen', async () => {
    verifies('M5')
    const { post } = setUp()
    await post('/settle', body, { 'idempotency-key': 'one' })
    const settlement = { success: true, transaction: 'tx1', network: 'test:1', payer: 'payer' }
    expect(await (await post('/status', { claimId: 'one' })).json()).toEqual({ settlement })
    expect(await (await post('/status', { claimId: 'late', deadAfter: 2e9 })).json()).toEqual({ settlement: null })
    const { payment: paymentPayload, requirements: paymentRequirements } = smallPayment('b')
    const late = await post('/settle', { x402Version: 2, paymentPayload, paymentRequirements }, { 'idempotency-key': 'late' })
    expect(await late.json()).toMatchObject({ success: false, errorReason: 'claim_spent', transaction: '', retry: 'never' })
    for (const bad of [{}, { claimId: '' }, { claimId: 'a b' }, { claimId: 'x'.repeat(256) }, { claimId: 'one', deadAfter: -1 }])
      expect((await post('/status', bad)).status).toBe(400)
    const { status: _, ...without } = createFacilitator({ schemes: [smallScheme(smallChain())] })
    const old = facilitatorEndpoint(without)
    expect((await old(new Request('https://f.example/status', { method: 'POST', body: '{"claimId":"one"}' }))).status).toBe(404)
  })

  it('pass Idempotency-Key on as the claim', async () => {
    const { post, asked } = setUp()
    await post('/settle', body, { 'Idempotency-Key': 'claim-1' })
    await post('/settle', body)
    expect(asked.map(({ options }) => options?.claimId)).toEqual(['claim-1', undefined])
    expect((await post('/settle', body, { 'Idempotency-Key': 'x'.repeat(256) })).status).toBe(400)
  })

  it('do not exist elsewhere or by another method', async () => {
    const { get, post } = setUp()
    expect((await get('/')).status).toBe(404)
    expect((await get('/supported/more')).status).toBe(404)
    const wrong = await get('/settle')
    expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'POST'])
    expect((await post('/supported', {})).headers.get('allow')).toBe('GET')
  })
})

describe('a v1 caller', () => {
  const v1 = { scheme: 'exact', network: 'base-sepolia' }
  const requirementsV1 = {
    ...v1,
    maxAmountRequired: '5',
    resource: 'https://x.example/',
    payTo: 'seller',
    asset: 'coin',
    maxTimeoutSeconds: 60,
  }
  const bodyV1 = {
    x402Version: 1,
    paymentPayload: { x402Version: 1, ...v1, payload: { id: 'a', good: true } },
    paymentRequirements: requirementsV1,
  }
  const network = 'eip155:84532'
  const settled: Outcome = { status: 'settled', transaction: 'tx1', network, payer: 'payer' }
  const facilitator = {
    supported: async () => ({ kinds: [{ x402Version: 2, scheme: 'exact', network }], extensions: [], signers: {} }),
    verify: async ({ requirements: { amount, network: asked } }: Submission): Promise<Verdict> => ({
      valid: true,
      payer: `${amount} ${asked}`,
    }),
    settle: async () => settled,
  }

  it('is answered in the words of v1, from the same facilitator', async () => {
    verifies('V1-FACILITATOR')
    const { get, post } = setUp({ facilitator })
    expect(await (await get('/supported')).json()).toMatchObject({
      kinds: [
        { x402Version: 2, scheme: 'exact', network },
        { x402Version: 1, scheme: 'exact', network: 'base-sepolia' },
      ],
    })
    expect(await (await post('/verify', bodyV1)).json()).toEqual({ isValid: true, payer: '5 eip155:84532' })
    expect(await (await post('/settle', bodyV1)).json()).toEqual({
      success: true,
      transaction: 'tx1',
      network: 'base-sepolia',
      payer: 'payer',
    })
  })

  it('on a network without a v1 name is told so', async () => {
    const { post } = setUp({ facilitator })
    const response = await post('/verify', { ...bodyV1, paymentRequirements: { ...requirementsV1, network: 'arbitrum' } })
    expect([response.status, await response.json()]).toMatchObject([400, { isValid: false, invalidReason: 'invalid_payload' }])
  })
})

describe('credentials', () => {
  it('are asked for every route, and the payment is not even read without them', async () => {
    const seen: string[] = []
    const { get, post, asked } = setUp({
      authorize: async (request, route) => {
        seen.push(`${route} ${await request.text()}`)
        return request.headers.get('authorization') === 'Bearer good'
      },
    })
    for (const response of [await get('/supported'), await post('/verify', body), await post('/settle', body)]) {
      expect([response.status, response.headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
      expect(await response.json()).toMatchObject({ code: 'request/unauthorized', moneyMoved: 'no' })
    }
    expect(asked).toEqual([])
    expect((await post('/settle', body, { authorization: 'Bearer good' })).status).toBe(200)
    expect(seen).toEqual(['supported ', 'verify ', 'settle ', 'settle '])
  })

  it('that cannot be checked serve nobody', async () => {
    const { post, asked } = setUp({ authorize: () => Promise.reject(lost()) })
    expect((await post('/settle', body)).ok).toBe(false)
    expect(asked).toEqual([])
  })
})

describe('what cannot be read', () => {
  it('is a problem of 400 that official clients read as a refusal', async () => {
    const { post, events } = setUp()
    const bad: unknown[] = ['', '{', 'null', '[]', new Uint8Array([0x22, 0xff, 0x22]), {}, { ...body, paymentPayload: 1 }]
    for (const content of bad) {
      const verified = await post('/verify', content)
      const settled = await post('/settle', content)
      expect([verified.status, settled.status]).toEqual([400, 400])
      expect(verified.headers.get('content-type')).toBe('application/problem+json')
      expect(await verified.json()).toMatchObject({ code: 'request/malformed', isValid: false, invalidReason: 'invalid_payload' })
      expect(await settled.json()).toMatchObject({ success: false, errorReason: 'invalid_payload', transaction: '', moneyMoved: 'no' })
    }
    const version = await post('/settle', { ...body, x402Version: 3 })
    expect(await version.json()).toMatchObject({ status: 400, errorReason: 'invalid_x402_version', network: 'test:1' })
    expect(events).toEqual([])
  })

  it('is refused at 64 kB, announced or not', async () => {
    const { handle, post } = setUp()
    expect((await post('/verify', ' '.repeat(262_145))).status).toBe(413)
    const endless = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(10_000).fill(32)) })
    const request = new Request('https://facilitator.example/settle', { method: 'POST', body: endless, duplex: 'half' } as RequestInit) // the DOM's type has no duplex
    const response = await handle(request)
    expect([response.status, await response.json()]).toMatchObject([413, { success: false, errorReason: 'invalid_payload' }])
  })

  it('never breaks the facilitator, whatever it is', async () => {
    const { post } = setUp()
    const anything = fc.oneof(
      fc.json(),
      fc.string(),
      fc.uint8Array({ maxLength: 200 }),
      fc.record({ x402Version: fc.constantFrom(1, 2, 3, '2'), paymentPayload: fc.jsonValue(), paymentRequirements: fc.jsonValue() }),
      // One field of a good request, replaced by anything.
      fc.tuple(fc.constantFrom('paymentPayload', 'paymentRequirements'), fc.string(), fc.jsonValue()).chain(([part, name, value]) =>
        fc.constantFrom(name, ...Object.keys(requirements), ...Object.keys(payment)).map((field) => ({
          ...body,
          [part]: { ...(part === 'paymentPayload' ? payment : requirements), [field]: value },
        })),
      ),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('/verify', '/settle'), anything, async (path, content) => {
        const response = await post(path, content)
        expect([200, 400]).toContain(response.status)
        expect(Object.keys((await response.json()) as object)).toContain(path === '/verify' ? 'isValid' : 'success') // JSON objects only
      }),
      { numRuns: 500 },
    )
  })
})

describe('what fails inside', () => {
  const secret = 'postgres://user:password@host'

  it('is told to the operator, and to the caller no more than that money may have moved', async () => {
    const broken = (): Promise<never> => Promise.reject(new TypeError(secret))
    const { get, post, events } = setUp({ facilitator: { supported: broken, verify: broken, settle: broken } })
    const answers = [await get('/supported'), await post('/verify', body), await post('/settle', body)]
    expect(answers.map(({ status }) => status)).toEqual([500, 500, 500])
    const texts = await Promise.all(answers.map((response) => response.text()))
    for (const text of texts) expect(text).not.toMatch(/postgres|TypeError|at .*\.ts/)
    expect(JSON.parse(texts[2] ?? '')).toMatchObject({
      success: false,
      errorReason: 'unexpected_settle_error',
      network: 'test:1',
      moneyMoved: 'unknown',
    })
    expect(events.map((event) => event.type === 'requestFailed' && [event.route, String(event.error)])).toEqual([
      ['supported', `TypeError: ${secret}`],
      ['verify', `TypeError: ${secret}`],
      ['settle', `TypeError: ${secret}`],
    ])
  })

  it('before anything was sent says so, with the time to come back', async () => {
    const scheme = smallScheme(smallChain(), { start: () => Promise.reject(lost()) })
    const { post } = setUp({ facilitator: createFacilitator({ schemes: [scheme] }) })
    const response = await post('/settle', body)
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '2'])
    expect(await response.json()).toMatchObject({
      code: 'facilitator/not-ready',
      moneyMoved: 'no',
      retry: 'same',
      success: false,
      errorReason: 'settlement_not_sent',
    })
  })
})
