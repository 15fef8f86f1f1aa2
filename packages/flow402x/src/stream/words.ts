import { formatNetwork, parseRate, type Rate } from '@flow402x/core'
import { networkHeader, paymentAddressHeader, paymentRateHeader, paymentTokenHeader } from '@flow402x/core/stream'
import { streamErrors } from './errors.ts'
import type { Seller } from './seller.ts'

/** A price as it was written, `'0.01'` or `0.01`: in dollars for each unit. */
export type FlowPrice = string | number

/** A price for each unit, exactly. Errors: `flow/bad-price`. */
export function rateOf(price: FlowPrice, unit: string): Rate {
  const text = String(price)
  try {
    return parseRate(`${text.startsWith('$') || /[A-Za-z]/.test(text) ? text : `${text} USD`}/${unit}`)
  } catch (cause) {
    throw streamErrors('flow/bad-price', {
      why: `"${text}" is no price for a ${unit}: write a plain decimal number, such as '0.01'`,
      cause,
    })
  }
}

/** The headers by which people and simple programs read an offer (DESIGN §8.1): friendly words, beside what `PAYMENT-REQUIRED` says. */
export function friendlyHeaders(
  { network, asset, recipient }: Seller,
  rate: { readonly price: FlowPrice; readonly unit: string },
): [string, string][] {
  const text = String(rate.price).replace(/^\$/, '')
  return [
    [paymentAddressHeader.name, recipient],
    [paymentRateHeader.name, `${/[A-Za-z]/.test(text) ? text : `${text} USD`}/${rate.unit}`],
    [paymentTokenHeader.name, asset.symbol],
    [networkHeader.name, formatNetwork(network).replaceAll(' ', '-')],
  ]
}
