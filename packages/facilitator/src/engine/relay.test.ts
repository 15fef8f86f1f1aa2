import type { FacilitatorScheme, Verdict } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { afterEach, describe, expect, it } from 'vitest'
import { lost, smallChain, smallPayment, smallScheme } from '../fixtures/small-chain.ts'
import { createFacilitator, type LocalFacilitator } from './facilitator.ts'

const made: LocalFacilitator[] = []
afterEach(() => Promise.all(made.splice(0).map((facilitator) => facilitator.close({ signal: AbortSignal.abort() }))))

function make(relay: NonNullable<FacilitatorScheme['relay']>) {
  const chain = smallChain()
  const scheme = smallScheme(chain, {
    extensions: ['a', 'b'],
    relay(submission, options) {
      chain.log.push('relay')
      return relay(submission, options)
    },
  })
  const facilitator = createFacilitator({ schemes: [scheme], confirmTimeout: 300, finality: 0 })
  made.push(facilitator)
  return { facilitator, steps: () => chain.log.filter((line) => /relay|send/.test(line)).map((line) => line.split(' ')[0]) }
}

const paid: Verdict = { valid: true, payer: 'payer' }

describe('what a payer signed to go before his payment', () => {
  it('is handed on before anything is sent, and by no verdict', async () => {
    verifies(['GAS-SPONSORING', 'M20'])
    const { facilitator, steps } = make(async () => paid)
    expect((await facilitator.supported()).extensions).toEqual(['flow402x-claim-status', 'a', 'b'])
    expect(await facilitator.verify(smallPayment('one'))).toMatchObject({ valid: true })
    expect(steps()).toEqual([])
    expect(await facilitator.settle(smallPayment('one'), { claimId: 'c1' })).toMatchObject({ status: 'settled' })
    expect(steps()).toEqual(['relay', 'send'])
  })

  it('that did not take effect ends the try: nothing is sent, and the same payment may come again', async () => {
    verifies('GAS-SPONSORING')
    let works = false
    const { facilitator, steps } = make(async () => (works ? undefined : { valid: false, reason: 'erc20_approval_tx_failed' }))
    const payment = smallPayment('one')
    const refused = await facilitator.settle(payment, { claimId: 'c1' })
    expect(refused).toMatchObject({ status: 'notSettled', reason: 'erc20_approval_tx_failed', deadAfter: expect.any(Number) })
    expect(refused).not.toHaveProperty('transaction')
    expect(steps()).toEqual(['relay'])
    works = true
    expect(await facilitator.settle(payment, { claimId: 'c1' })).toMatchObject({ status: 'settled' })
    expect(steps()).toEqual(['relay', 'relay', 'send'])
  })

  it('of which nobody knows says nothing of the payment', async () => {
    verifies('GAS-SPONSORING')
    const { facilitator, steps } = make(() => Promise.reject(lost()))
    await expect(facilitator.settle(smallPayment('one'), { claimId: 'c1' })).rejects.toMatchObject({ code: 'facilitator/cannot-verify' })
    expect(steps()).toEqual(['relay'])
  })

  it('may be handed on by every copy at once, and one of them settles', async () => {
    verifies(['GAS-SPONSORING', 'M20', 'A3'])
    const { facilitator, steps } = make(async () => paid)
    const payment = smallPayment('one')
    const outcomes = await Promise.all(['c1', 'c2', 'c3'].map((claimId) => facilitator.settle(payment, { claimId })))
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['notSettled', 'notSettled', 'settled'])
    expect(steps().filter((step) => step === 'send')).toHaveLength(1)
  })
})
