import { isX402Error, type MoneyMoved } from '@flow402x/core'
import type { TokenAdapter } from '@flow402x/core/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** A token adapter on a local chain, whose signer holds at least a hundred times `amount`, and somebody to pay. */
export type TokenStage = {
  readonly adapter: TokenAdapter
  readonly sender: string
  readonly recipient: string
  /** Somebody who could be paid and is not. */
  readonly stranger: string
  /** What an address holds, asked of the chain itself. */
  balanceOf(address: string): Promise<bigint>
  /** Lets the chain go on until what was mined is final. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** A token adapter under test: `amount` is a decimal of its token; `paysFees` where fees are paid in the token itself, as of a coin. */
export type TokenSuite = {
  readonly name: string
  readonly amount?: string
  readonly paysFees?: boolean
  readonly mount: () => Promise<TokenStage>
}

/** What every token adapter must do: pay exactly, once, and call nothing paid that was not. */
export function testTokenAdapter({ name, amount = '0.01', paysFees = false, mount }: TokenSuite): void {
  describe(`${name} is a token adapter`, () => {
    let stage: TokenStage
    let units: bigint
    beforeAll(async () => {
      stage = await mount()
      units = atomic(amount, stage.adapter.decimals)
    })
    afterAll(() => stage?.close())

    const balances = async () => {
      const [sender, recipient] = [await stage.balanceOf(stage.sender), await stage.balanceOf(stage.recipient)]
      return { sender, recipient }
    }
    const pay = async (options: Parameters<TokenAdapter['createPayment']>[2] = {}) => {
      const transaction = await stage.adapter.createPayment(stage.recipient, amount, options)
      await stage.settle()
      return transaction
    }

    it('pays exactly, at no more than it estimated, and tells the balances that the chain has', async () => {
      const { adapter, recipient, sender } = stage
      const estimate = await adapter.estimatePayment?.(recipient, amount)
      const before = await balances()
      await pay()
      const after = await balances()
      expect(after.recipient - before.recipient).toBe(units)
      const cost = before.sender - after.sender - units
      if (!paysFees) expect(cost).toBe(0n)
      if (paysFees && estimate !== undefined) {
        expect(cost).toBeGreaterThan(0n)
        expect(cost).toBeLessThanOrEqual(estimate.fee)
      }
      expect(await adapter.getBalance(recipient)).toBe(after.recipient)
      expect(await adapter.getBalance(sender)).toBe(after.sender)
    })

    it('takes decimals and atomic units for the same amount', async () => {
      const before = await balances()
      await stage.adapter.createPayment(stage.recipient, units)
      await stage.settle()
      expect((await balances()).recipient - before.recipient).toBe(units)
    })

    it('calls valid what paid this much to this recipient from this sender, and nothing else', async () => {
      const { adapter, recipient, sender, stranger } = stage
      const transaction = await pay()
      const valid = { recipient, amount, sender }
      expect(await adapter.validatePayment(transaction, valid)).toBe(true)
      expect(await adapter.validatePayment(transaction, { recipient, amount: units })).toBe(true)
      expect(await adapter.validatePayment(transaction, { recipient })).toBe(true)
      for (const other of [
        { ...valid, recipient: stranger },
        { ...valid, recipient: sender },
        { ...valid, amount: units + 1n },
        { ...valid, amount: units - 1n },
        { ...valid, sender: stranger },
        { ...valid, sender: recipient },
      ])
        expect(await adapter.validatePayment(transaction, other)).toBe(false)
    })

    it('calls nothing valid that is no transaction', async () => {
      const transaction = await pay()
      const expected = { recipient: stage.recipient }
      for (const text of ['', 'x', '0x', '0x00', `${transaction}0`, transaction.slice(0, -1), '../'.repeat(22)])
        expect(await stage.adapter.validatePayment(text, expected)).toBe(false)
    })

    it('pays one id once, however often and by however many it is asked for', async () => {
      const id = `order ${crypto.randomUUID()}`
      const before = await balances()
      const transaction = await pay({ id })
      expect(await pay({ id })).toBe(transaction)
      const many = await Promise.allSettled(Array.from({ length: 8 }, () => stage.adapter.createPayment(stage.recipient, amount, { id })))
      for (const one of many) if (one.status === 'fulfilled') expect(one.value).toBe(transaction)
      await stage.settle()
      expect((await balances()).recipient - before.recipient).toBe(units)
    })

    it('pays one id once when all ask for it at once', async () => {
      const id = `race ${crypto.randomUUID()}`
      const before = await balances()
      const all = await Promise.allSettled(Array.from({ length: 6 }, () => stage.adapter.createPayment(stage.recipient, amount, { id })))
      const transaction = await pay({ id })
      for (const one of all) {
        if (one.status === 'fulfilled') expect(one.value).toBe(transaction)
        else expect(one.reason).toMatchObject({ code: 'token/under-way' })
      }
      expect((await balances()).recipient - before.recipient).toBe(units)
    })

    it('makes a payment of its own of each call without an id, also side by side', async () => {
      const before = await balances()
      const all = await Promise.all(Array.from({ length: 3 }, () => stage.adapter.createPayment(stage.recipient, amount)))
      await stage.settle()
      expect(new Set(all).size).toBe(3)
      expect((await balances()).recipient - before.recipient).toBe(3n * units)
      for (const transaction of all)
        expect(await stage.adapter.validatePayment(transaction, { recipient: stage.recipient, amount })).toBe(true)
    })

    it('refuses an id that was another payment’s', async () => {
      const id = `taken ${crypto.randomUUID()}`
      await pay({ id })
      const before = await balances()
      for (const [to, much] of [
        [stage.recipient, units + 1n],
        [stage.stranger, units],
      ] as const)
        await expect(stage.adapter.createPayment(to, much, { id })).rejects.toMatchObject({ code: 'token/reused', moneyMoved: 'no' })
      expect(await balances()).toEqual(before)
    })

    it('refuses what cannot be meant, and moves nothing', async () => {
      const { adapter, recipient, sender } = stage
      const tooFine = `0.${'0'.repeat(adapter.decimals)}1`
      const before = await balances()
      for (const much of ['0', '-1', '', '1e-3', '0x10', ' 1', '1,5', 'NaN', tooFine, 0n, -1n])
        await expect(refusalOf(adapter.createPayment(recipient, much))).resolves.toBe('no')
      for (const to of ['', 'nobody', sender, `${recipient}0`])
        await expect(refusalOf(adapter.createPayment(to, amount))).resolves.toBe('no')
      const all = await adapter.getBalance(sender)
      await expect(refusalOf(adapter.createPayment(recipient, all + 1n))).resolves.toBe('no')
      expect(await balances()).toEqual(before)
    })

    it('sends nothing for who has given up', async () => {
      const before = await balances()
      const given = AbortSignal.abort(new RangeError('given up'))
      await expect(stage.adapter.createPayment(stage.recipient, amount, { signal: given })).rejects.toThrow('given up')
      expect(await balances()).toEqual(before)
    })
  })
}

/** What the error of a refused call says of the money. */
async function refusalOf(call: Promise<unknown>): Promise<MoneyMoved | 'paid' | undefined> {
  const failure = await call.then(
    () => 'paid' as const,
    (error: unknown) => ({ error }),
  )
  if (failure === 'paid') return failure
  if (!isX402Error(failure.error)) throw failure.error
  return failure.error.moneyMoved
}

function atomic(amount: string, decimals: number): bigint {
  const [whole = '', fraction = ''] = amount.split('.')
  return BigInt(whole + fraction.padEnd(decimals, '0'))
}
