import { isX402Error } from '../protocol/errors.ts'
import { formatDecimal, fromAtomic, parseDecimal, toAtomic } from '../protocol/money.ts'
import type { Network } from '../protocol/network.ts'
import { tokenErrors } from './errors.ts'

/** What an adapter pays in; `decimals` tell the atomic unit. */
type TokenFacts = { readonly network: Network; readonly symbol: string; readonly decimals: number }

/** How much: atomic units as a bigint, or an exact decimal of the token as people write it, such as `"0.01"`. */
export type TokenAmount = bigint | string

/** What a payment is made with. */
export type CreatePaymentOptions = {
  /**
   * The caller's own name for one payment: a call that bears it again, for the same recipient and amount, pays nothing more and gives
   * the same transaction, also after a restart where the adapter keeps a store. Without it every call is a payment of its own.
   */
  readonly id?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a transaction must have done: paid exactly this much to this recipient, from this sender. */
export type ExpectedPayment = {
  /** Whoever the adapter is paid as, unless told. */
  readonly recipient?: string | undefined
  /** Any amount above zero unless told. */
  readonly amount?: TokenAmount | undefined
  /** Anybody unless told. */
  readonly sender?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** What a payment would cost its sender beside the amount, at most, in atomic units of the network's coin. */
export type PaymentEstimate = {
  readonly sender: string
  readonly fee: bigint
  /** What the recipient's new token account takes in and keeps, where it must be opened. */
  readonly rent?: bigint
}

/** Pays in one token, looks payments in it up, and reads balances. */
export interface TokenAdapter extends TokenFacts {
  /**
   * Sends tokens to a recipient and gives the transaction once it is mined. Whatever it throws says whether money moved.
   *
   * Errors: `token/…`, and those of the chain.
   */
  createPayment(recipient: string, amount: TokenAmount, options?: CreatePaymentOptions): Promise<string>
  /**
   * Whether a transaction paid what is expected, by the chain's own word. `false` for one that did not, that failed or that nobody
   * knows. **It grants nothing by itself** (M10): it is as true for whoever shows the same transaction once more, so that who delivers
   * for a payment must use each transaction once, and know what it was for.
   *
   * Errors: `token/unconfirmed` while a payment is right and not final, and those of the chain.
   */
  validatePayment(transaction: string, expected?: ExpectedPayment): Promise<boolean>
  /** What an address holds, in atomic units. */
  getBalance(address: string, options?: { readonly signal?: AbortSignal | undefined }): Promise<bigint>
  /** What `createPayment` would cost, by a run without effect. Errors: those of `createPayment` before anything is sent. */
  estimatePayment?(
    recipient: string,
    amount: TokenAmount,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<PaymentEstimate>
}

/** The methods of a token adapter as their author writes them: every amount arrives in atomic units. */
export type TokenDefinition = TokenFacts & {
  createPayment(recipient: string, amount: bigint, options: CreatePaymentOptions): Promise<string>
  validatePayment(
    transaction: string,
    expected: Omit<ExpectedPayment, 'amount'> & { readonly amount?: bigint | undefined },
  ): Promise<boolean>
  getBalance(address: string, options: { readonly signal?: AbortSignal | undefined }): Promise<bigint>
  estimatePayment?(recipient: string, amount: bigint, options: { readonly signal?: AbortSignal | undefined }): Promise<PaymentEstimate>
}

/**
 * A token adapter from its facts and methods. Amounts are read here, exactly, and what the methods give back is checked: nothing but
 * `true` is a valid payment, no transaction without a name, no balance below zero.
 *
 * Errors: `token/bad-adapter`; from its methods `token/bad-amount` and `token/bad-answer`, and whatever the definition throws.
 */
export function defineTokenAdapter(definition: TokenDefinition): TokenAdapter {
  const { network, symbol, decimals } = definition
  const token = `${symbol} on ${network}`
  if (!Number.isInteger(decimals) || decimals < 0 || decimals > mostDecimals)
    throw tokenErrors('token/bad-adapter', { token, why: `decimals are ${decimals}, not 0 to ${mostDecimals}` })
  for (const method of ['createPayment', 'validatePayment', 'getBalance'] as const)
    if (typeof definition[method] !== 'function') throw tokenErrors('token/bad-adapter', { token, why: `it has no ${method}` })
  const units = (amount: TokenAmount) => unitsOf(amount, decimals)
  const estimate = definition.estimatePayment?.bind(definition)
  const bad = (method: string, value: unknown) => tokenErrors('token/bad-answer', { token, method, why: describe(value) })
  return Object.freeze<TokenAdapter>({
    network,
    symbol,
    decimals,
    async createPayment(recipient, amount, options = {}) {
      const transaction: unknown = await definition.createPayment(recipient, units(amount), options)
      if (typeof transaction !== 'string' || transaction === '') throw bad('createPayment', transaction)
      return transaction
    },
    async validatePayment(transaction, { amount, ...expected } = {}) {
      const asked = amount === undefined ? {} : { amount: units(amount) }
      return (await definition.validatePayment(transaction, { ...expected, ...asked })) === true
    },
    async getBalance(holder, options = {}) {
      const held: unknown = await definition.getBalance(holder, options)
      if (typeof held !== 'bigint' || held < 0n) throw bad('getBalance', held)
      return held
    },
    ...(estimate === undefined
      ? {}
      : { estimatePayment: (recipient: string, amount: TokenAmount, options = {}) => estimate(recipient, units(amount), options) }),
  })
}

const mostDecimals = 36

function unitsOf(amount: TokenAmount, decimals: number): bigint {
  const units = typeof amount === 'bigint' ? amount : atomic(amount, decimals)
  if (units > 0n) return units
  throw tokenErrors('token/bad-amount', { amount: `${amount}`, why: 'a payment is more than zero' })
}

function atomic(amount: string, decimals: number): bigint {
  const bad = (why: string, cause?: unknown) => tokenErrors('token/bad-amount', { amount: `${amount}`, why, cause })
  // Callers without types hand over numbers, whose digits are not what was written.
  const decimal = typeof amount === 'string' ? parseDecimal(amount) : undefined
  if (decimal === undefined) throw bad('an amount is a bigint of atomic units, or text such as "0.01"')
  try {
    return toAtomic(decimal, decimals)
  } catch (error) {
    if (!isX402Error(error, 'config/sub-atomic')) throw error
    throw bad(`the smallest amount of this token is ${formatDecimal(fromAtomic(1n, decimals))}`, error)
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return 'an empty text'
  return typeof value === 'bigint' ? `${value}` : `a value of type ${value === null ? 'null' : typeof value}`
}
