import { setTimeout as wait } from 'node:timers/promises'
import { createClient } from '@flow402x/client'
import {
  type ClientScheme,
  type PaymentPayload,
  paymentRequiredHeader,
  paymentResponseHeader,
  paymentSignatureHeader,
} from '@flow402x/core'
import { preparePayment } from '@flow402x/testing/suites'
import { areWhole } from './goods.ts'

/**
 * What a buyer does when a purchase breaks off. `resumes`: this project's client, which sends the same payment again. `returns`:
 * a stock client that buys again with a new payment. `repeats`: sends the same payment again without knowing any secret of it.
 * `leaves`: is never seen again.
 */
export type Habit = 'resumes' | 'returns' | 'repeats' | 'leaves'

/** A purchase under way: every payment that was sent, and what the buyer had in the end. */
export type Purchase = { readonly payments: ReadonlyMap<string, PaymentPayload>; readonly got: Promise<string> }

/** With what is paid, and for what; `back` resolves when the process that died is up again, until which nobody buys anew. */
export type Shopping = { readonly scheme: ClientScheme; readonly url: string; readonly back: Promise<void>; readonly signal: AbortSignal }

type Send = typeof fetch

/** Buys as this habit has it. */
export function buy(habit: Habit, shopping: Shopping): Purchase {
  const payments = new Map<string, PaymentPayload>()
  const send: Send = (input, init) => {
    const request = new Request(input, init)
    const header = request.headers.get(paymentSignatureHeader.name)
    if (header !== null) payments.set(header, paymentSignatureHeader.decode(header))
    return fetch(request)
  }
  const ways = { resumes, returns, repeats, leaves }
  return { payments, got: ways[habit](shopping, send) }
}

/** Signs one payment for what is sold here, and gives what sends it, to any process of the shop. */
export async function payOnce(scheme: ClientScheme, url: string): Promise<(url: string) => Promise<string>> {
  const payment = await sign(scheme, url, fetch)
  return (at) => pay(at, payment, fetch)
}

async function resumes({ scheme, url, signal }: Shopping, send: Send): Promise<string> {
  const client = createClient({ schemes: [scheme], fetch: send, retry: { attempts: 1 } })
  const told = async (call: Promise<Response>): Promise<{ readonly got: string; readonly interrupted: unknown }> => {
    try {
      const response = await call
      const got = await heard(response)
      return { got, interrupted: response }
    } catch (interrupted) {
      return { got: nothing, interrupted }
    }
  }
  let last = await told(client.fetch(url))
  while (isOpen(last.got) && !signal.aborted) {
    await wait(100)
    const next = await told(client.resume(last.interrupted))
    // A broken body leaves a response that says all is well: what it broke off from is resumed.
    last = next
  }
  return last.got
}

async function repeats({ scheme, url, signal }: Shopping, send: Send): Promise<string> {
  return until(signal, url, await sign(scheme, url, send), send)
}

async function returns({ scheme, url, signal, back }: Shopping, send: Send): Promise<string> {
  const first = await pay(url, await sign(scheme, url, send), send)
  if (!isOpen(first)) return first
  await back
  return until(signal, url, await sign(scheme, url, send), send)
}

async function leaves({ scheme, url }: Shopping, send: Send): Promise<string> {
  return pay(url, await sign(scheme, url, send), send)
}

const nothing = 'nothing'

async function until(signal: AbortSignal, url: string, payment: string, send: Send): Promise<string> {
  let got = await pay(url, payment, send)
  while (isOpen(got) && !signal.aborted) {
    await wait(100)
    got = await pay(url, payment, send)
  }
  return got
}

async function pay(url: string, payment: string, send: Send): Promise<string> {
  try {
    return await heard(await send(url, { headers: { [paymentSignatureHeader.name]: payment } }))
  } catch {
    return nothing
  }
}

/** What an answer comes to, in a few words. */
async function heard(response: Response): Promise<string> {
  const text = await response.text().catch(() => 'a part')
  if (response.ok) return areWhole(text) ? 'goods' : 'a part of the goods'
  const header = response.headers.get(paymentResponseHeader.name)
  const receipt = header === null ? undefined : paymentResponseHeader.decode(header)
  const again = response.status === 402 && receipt?.retry === 'same' ? ', again' : ''
  return `${response.status}${receipt?.errorReason === undefined ? '' : ` ${receipt.errorReason}`}${again}`
}

/** Whether a buyer who wants the goods has to ask again. */
function isOpen(got: string): boolean {
  return got === nothing || got === 'a part of the goods' || /^(409|5)|, again$/.test(got)
}

async function sign(scheme: ClientScheme, url: string, send: Send): Promise<string> {
  const asked = await send(url)
  const required = paymentRequiredHeader.decode(asked.headers.get(paymentRequiredHeader.name) ?? '')
  await asked.body?.cancel()
  return paymentSignatureHeader.encode(await preparePayment(scheme, { required }))
}
