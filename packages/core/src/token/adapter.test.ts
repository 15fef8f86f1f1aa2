import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { defineTokenAdapter, type TokenDefinition } from './adapter.ts'

const amounts: bigint[] = []
const definition: TokenDefinition = {
  network: 'club:points',
  symbol: 'PTS',
  decimals: 2,
  async createPayment(_, amount) {
    amounts.push(amount)
    return 'move 1'
  },
  validatePayment: async (_, { amount }) => amount === undefined || amount === 125n,
  getBalance: async () => 7n,
}
// What callers without types hand over, and what their adapters give back.
const untyped = <Value>(value: unknown): Value => value as Value // which is what the tests are about

describe('a token adapter of one’s own', () => {
  it('gets every amount in atomic units, however it was written', async () => {
    const adapter = defineTokenAdapter(definition)
    amounts.length = 0
    for (const amount of ['1.25', '1.250', 125n, '3']) await adapter.createPayment('ben', amount)
    expect(amounts).toEqual([125n, 125n, 125n, 300n])
    expect(await adapter.validatePayment('move 1', { amount: '1.25' })).toBe(true)
    expect(await adapter.validatePayment('move 1', { amount: '1.26' })).toBe(false)
    expect(await adapter.validatePayment('move 1')).toBe(true)
    expect(Object.isFrozen(adapter)).toBe(true)
  })

  it.each(['0', '-1', '', ' 1', '1.', '.5', '1e3', '0x1', '1,5', 'NaN', '1.255', 0n, -5n, 1.25, null, undefined, {}])(
    'is never asked to pay what is no amount: %s',
    async (amount) => {
      verifies('H53')
      amounts.length = 0
      const adapter = defineTokenAdapter(definition)
      await expect(adapter.createPayment('ben', untyped(amount))).rejects.toMatchObject({ code: 'token/bad-amount', moneyMoved: 'no' })
      expect(amounts).toEqual([])
    },
  )

  it.each([1, 'true', {}, [], null, undefined])('calls nothing valid but for true: %s', async (answer) => {
    verifies('TOKEN-VALID')
    const adapter = defineTokenAdapter({ ...definition, validatePayment: async () => untyped(answer) })
    expect(await adapter.validatePayment('move 1')).toBe(false)
  })

  it('that gives back no transaction, or no balance, is said to have gone wrong', async () => {
    for (const answer of ['', undefined, null, 5, {}]) {
      const adapter = defineTokenAdapter({ ...definition, createPayment: async () => untyped(answer) })
      await expect(adapter.createPayment('ben', 1n)).rejects.toMatchObject({
        code: 'token/bad-answer',
        moneyMoved: 'unknown',
        retry: 'never',
      })
    }
    for (const answer of [-1n, 5, '5', undefined]) {
      const adapter = defineTokenAdapter({ ...definition, getBalance: async () => untyped(answer) })
      await expect(adapter.getBalance('ben')).rejects.toMatchObject({ code: 'token/bad-answer' })
    }
  })

  it('that is incomplete is an error at once', () => {
    for (const change of [{ decimals: -1 }, { decimals: 1.5 }, { decimals: 77 }, { getBalance: undefined }, { createPayment: 'later' }])
      expect(() => defineTokenAdapter(untyped({ ...definition, ...change }))).toThrow(
        expect.objectContaining({ code: 'token/bad-adapter' }),
      )
  })

  it('keeps its own this', async () => {
    const counter = {
      network: 'club:points',
      symbol: 'PTS',
      decimals: 2,
      made: 0,
      async createPayment() {
        this.made += 1
        return `move ${this.made}`
      },
      validatePayment: async () => true,
      async getBalance() {
        return BigInt(this.made)
      },
      async estimatePayment() {
        return { sender: `after ${this.made}`, fee: 0n }
      },
    }
    const adapter = defineTokenAdapter(counter)
    expect(await adapter.createPayment('ben', 1n)).toBe('move 1')
    expect(await adapter.getBalance('ben')).toBe(1n)
    expect(await adapter.estimatePayment?.('ben', '1')).toEqual({ sender: 'after 1', fee: 0n })
  })
})
