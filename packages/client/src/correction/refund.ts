import { type ClientScheme, echoExtensions, type PaymentRequirements, type Prepared, type SettleResponse } from '@flow402x/core'
import { schemeFor } from '../engine/choose.ts'
import { type Delivered, deliver } from '../engine/deliver.ts'
import { clientErrors } from '../engine/errors.ts'
import { type Asked, assertSecure, type Wallet } from '../engine/pay.ts'
import { bindingOf, clockSkew, hex, withPayment } from '../engine/sign.ts'
import { correctionIn } from './correction.ts'

/**
 * Asks for unused money back, from the first who has some. It moves to the payer and to nobody else, so no budget is asked.
 *
 * Errors: `client/nothing-to-refund`, `client/refund-failed`, `client/insecure-origin`, those of `deliver` and of the scheme.
 */
export async function refund(wallet: Wallet, asked: Asked): Promise<SettleResponse> {
  const { message, response, offer } = asked
  const { url, method, signal } = message
  assertSecure(wallet, url)
  const now = Math.floor(wallet.now() / 1000) + clockSkew(response, { url, now: wallet.now() })
  const options = { now, maxTimeoutSeconds: wallet.maxTimeoutSeconds, binding: await bindingOf(message), signal }
  await response.body?.cancel()
  const { required } = offer
  const found = required === undefined ? undefined : await first(wallet, required.accepts, options)
  if (required === undefined || found === undefined) throw clientErrors('client/nothing-to-refund', { url })
  const { scheme, requirements } = found
  const extensions = echoExtensions(required, { id: `pay_${hex(wallet.random(16))}` })
  const send = async ({ payload, key }: Prepared): Promise<Delivered & { readonly sends: number }> => {
    const common = { x402Version: 2 as const, resource: required.resource, accepted: requirements, payload: { ...payload } }
    const payment = extensions === undefined ? common : { ...common, extensions }
    const signed = { key, payment, version: 2 as const, url, method, maxTimeoutSeconds: wallet.maxTimeoutSeconds }
    const sending = { message: withPayment(message, signed), redirected: response.redirected, sends: 0, receipt: undefined, terms: { url } }
    const delivered = await deliver(sending, { ...wallet, signal, onPause: () => {} })
    return { ...delivered, sends: sending.sends }
  }
  let { prepared } = found
  let answer = await send(prepared)
  const correction = await correctionIn(answer, { requirements, url })
  const other = correction && (await scheme.onCorrective?.(prepared, { ...correction, sends: answer.sends }, options))
  if (other !== undefined) {
    await answer.response.body?.cancel()
    prepared = other
    answer = await send(prepared)
  }
  const { receipt } = answer
  await scheme.onReceipt?.(prepared, { status: receipt?.success ? 'paid' : 'unpaid', receipt })
  const why = receipt?.errorReason ?? (await correctionIn(answer, { requirements, url }))?.reason ?? 'without a receipt'
  await answer.response.body?.cancel()
  if (receipt?.success !== true) throw clientErrors('client/refund-failed', { url, status: answer.response.status, why })
  return receipt
}

type Found = { readonly scheme: ClientScheme; readonly requirements: PaymentRequirements; readonly prepared: Prepared }

async function first(
  { schemes }: Wallet,
  accepts: readonly PaymentRequirements[],
  options: Parameters<ClientScheme['prepare']>[1],
): Promise<Found | undefined> {
  for (const requirements of accepts) {
    const scheme = schemeFor(schemes, requirements)
    const prepared = await scheme?.refund?.(requirements, options)
    if (scheme !== undefined && prepared !== undefined) return { scheme, requirements, prepared }
  }
  return undefined
}
