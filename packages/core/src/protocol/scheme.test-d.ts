import { expectTypeOf, test } from 'vitest'
import type { ClaimStore, PaymentKey } from '../store/claims.ts'
import type { Facilitator } from './facilitator.ts'
import type { ClientScheme, FacilitatorScheme, ServerScheme } from './scheme.ts'
import type { Outcome, Verdict } from './settlement.ts'

test('an outcome has three cases, and only the settled one surely has a transaction', () => {
  expectTypeOf<Outcome['status']>().toEqualTypeOf<'settled' | 'pending' | 'notSettled'>()
  expectTypeOf<Extract<Outcome, { status: 'settled' }>['transaction']>().toEqualTypeOf<string>()
  expectTypeOf<Extract<Outcome, { status: 'pending' }>['transaction']>().toEqualTypeOf<string | undefined>()
  expectTypeOf<Extract<Outcome, { status: 'notSettled' }>['retry']>().toEqualTypeOf<'same' | 'resign' | 'never'>()
  // @ts-expect-error what is not settled says what to do next
  const silent: Outcome = { status: 'notSettled', network: 'eip155:1', reason: 'x' }
  // @ts-expect-error a pending payment has no reason to be dead
  const both: Outcome = { status: 'pending', network: 'eip155:1', reason: 'x', retry: 'resign' }
  void [silent, both]
})

test('a bad payment is a value with a reason, a good one has a payer', () => {
  const judge = (verdict: Verdict) =>
    verdict.valid ? expectTypeOf(verdict.payer).toEqualTypeOf<string>() : expectTypeOf(verdict.reason).toEqualTypeOf<string>()
  // @ts-expect-error no reason
  const silent: Verdict = { valid: false }
  // @ts-expect-error no payer
  const anonymous: Verdict = { valid: true }
  void [judge, silent, anonymous]
})

test('a plain object is a scheme, and its payment has an identity or none', () => {
  const client = {
    scheme: 'exact',
    networks: ['eip155:*'],
    supports: () => true,
    prepare: async () => ({ payload: {}, key: { id: 'x', payer: '0x', deadAfter: 0 } }),
  } satisfies ClientScheme
  expectTypeOf(client).toExtend<ClientScheme>()
  expectTypeOf<ServerScheme['key']>().returns.toEqualTypeOf<PaymentKey | undefined>()
  expectTypeOf<FacilitatorScheme['key']>().returns.toEqualTypeOf<PaymentKey | undefined>()
  expectTypeOf<ServerScheme['check']>().returns.toEqualTypeOf<Verdict>()
  // @ts-expect-error preparing without the identity of what was signed
  const nameless = { ...client, prepare: async () => ({ payload: {} }) } satisfies ClientScheme
  void nameless
})

test('settling in process and over HTTP answers the same', () => {
  expectTypeOf<ReturnType<Facilitator['settle']>>().resolves.toEqualTypeOf<Outcome>()
  expectTypeOf<ReturnType<Facilitator['verify']>>().resolves.toEqualTypeOf<Verdict>()
})

test('a claim cannot be asked for without saying how often the handler may run', () => {
  const ask = (claims: ClaimStore, request: Parameters<ClaimStore['claim']>[0]) =>
    // @ts-expect-error the attempts are missing
    claims.claim(request)
  void ask
})
