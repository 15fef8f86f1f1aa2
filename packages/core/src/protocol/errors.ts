/** The step of a paid call in which an error arose. */
export type Phase = 'quote' | 'sign' | 'submit' | 'settle' | 'deliver'

/** Whether money left the payer; `unknown` keeps every reservation until the chain has answered. */
export type MoneyMoved = 'no' | 'yes' | 'unknown'

/** What is safe to do next: send the `same` payment again, sign a new one (`resign`), or neither (`never`). */
export type Retry = 'same' | 'resign' | 'never'

/** One row of an error table: HTTP status, what happened to the money, and the sentence a person reads. */
export type ErrorEntry<Context> = {
  readonly status: number
  readonly phase: Phase
  readonly moneyMoved: MoneyMoved
  readonly retry: Retry
  readonly message: (context: Context) => string
}

/** The context an entry's message asks for. */
export type ContextOf<Entry> = Entry extends { readonly message: (context: infer Context) => string } ? Context : never

/** Makes the errors of one table; `cause` stays in the process and never reaches a peer. */
export type ErrorFactory<Table> = <Code extends keyof Table & string>(
  code: Code,
  context: ContextOf<Table[Code]> & { readonly cause?: unknown },
) => X402Error<Code, ContextOf<Table[Code]>>

/** The one error class: a stable `code`, whether money moved, what to do next, and a context that is safe to log. */
export class X402Error<Code extends string = string, Context = unknown> extends Error {
  override readonly name = 'X402Error'
  readonly code: Code
  readonly status: number
  readonly phase: Phase
  readonly moneyMoved: MoneyMoved
  readonly retry: Retry
  readonly context: Context

  constructor(code: Code, entry: ErrorEntry<Context>, context: Context & { readonly cause?: unknown }) {
    const { cause, ...rest } = context
    super(entry.message(context), cause === undefined ? undefined : { cause })
    this.code = code
    this.status = entry.status
    this.phase = entry.phase
    this.moneyMoved = entry.moneyMoved
    this.retry = entry.retry
    // `rest` is `Context`: only the optional `cause`, which no entry asks for, was taken out.
    this.context = rest as Context
  }
}

/** Turns a table of entries into the function that makes its errors; codes and contexts are typed by the table. */
export function defineErrors<const Table extends Record<string, ErrorEntry<never>>>(table: Table): ErrorFactory<Table> {
  return (code, context) => {
    // The entry under `code` takes exactly the context that `ErrorFactory` demanded for that code.
    const entry = table[code] as ErrorEntry<ContextOf<Table[typeof code]>>
    return new X402Error(code, entry, context)
  }
}

/** Whether a value is an error of this project, optionally with one exact code. */
export function isX402Error<Code extends string = string>(value: unknown, code?: Code): value is X402Error<Code> {
  return value instanceof X402Error && (code === undefined || value.code === code)
}

/** An RFC 9457 problem document with the three facts a payer needs: phase, whether money moved, what to do. */
export type Problem = {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: string
  readonly phase: Phase
  readonly moneyMoved: MoneyMoved
  readonly retry: Retry
}

/** The problem document of an error (RFC 9457); context and cause stay behind. */
export function toProblem(error: X402Error): Problem {
  return {
    type: `urn:flow402x:error:${error.code}`,
    title: error.code,
    status: error.status,
    detail: error.message,
    code: error.code,
    phase: error.phase,
    moneyMoved: error.moneyMoved,
    retry: error.retry,
  }
}

const atStart = { status: 500, phase: 'quote', moneyMoved: 'no', retry: 'never' } as const
const badRequest = { status: 400, phase: 'submit', moneyMoved: 'no', retry: 'never' } as const

/** The errors of core: `config/…` for the developer at start, `headers/…` and `message/…` for a peer. */
export const coreErrors = defineErrors({
  'config/unknown-network': {
    ...atStart,
    message: ({ network, names }: { network: string; names: readonly string[] }) =>
      `"${network}" is no network: give a CAIP-2 id such as "eip155:8453" or one of the names ${names.join(', ')}.`,
  },
  'config/unknown-asset': {
    ...atStart,
    message: ({ network, asset }: { network: string; asset: string }) =>
      `No asset "${asset}" is known on ${network}: name one of the table or give { address, decimals, … } yourself.`,
  },
  'config/bad-price': {
    ...atStart,
    message: ({ price, why }: { price: string; why: string }) => `"${price}" is no price: ${why}. Write "$0.01" or "0.01 USDC".`,
  },
  'config/bad-rate': {
    ...atStart,
    message: ({ rate, why }: { rate: string; why: string }) => `"${rate}" is no rate: ${why}. Write "0.01 USD/second".`,
  },
  'config/sub-atomic': {
    ...atStart,
    message: ({ amount, decimals }: { amount: string; decimals: number }) =>
      `${amount} cannot be expressed in a token with ${decimals} decimals: the smallest step is one atomic unit, and no part of it may be dropped.`,
  },
  'config/no-rate': {
    ...atStart,
    message: ({ asset, symbol }: { asset: string; symbol: string }) =>
      `A price in ${symbol} cannot be asked in ${asset}: give the price in that asset itself, or a rate for it.`,
  },
  'headers/too-large': {
    ...badRequest,
    message: ({ header, length, limit }: { header: string; length: number; limit: number }) =>
      `${header} has ${length} characters; at most ${limit} are read. Nothing was charged.`,
  },
  'headers/malformed': {
    ...badRequest,
    message: ({ header, why }: { header: string; why: string }) =>
      `${header} could not be read: ${why}. Nothing was charged; send one value of base64 over UTF-8 JSON.`,
  },
  'headers/bad-receipt': {
    status: 502,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: ({ header, why }: { header: string; why: string }) =>
      `${header} could not be read: ${why}. The payment may have been charged; only the same payment is safe to send again.`,
  },
  'headers/duplicate': {
    ...badRequest,
    message: ({ header }: { header: string }) =>
      `More than one payment was sent (${header}): exactly one payment header with one value is accepted. Nothing was charged.`,
  },
  'message/invalid': {
    ...badRequest,
    message: ({ message, why }: { message: string; why: string }) => `This ${message} does not follow x402: ${why}.`,
  },
})
