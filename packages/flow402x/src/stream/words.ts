import { formatNetwork, parseRate, type Rate } from '@flow402x/core'
import { networkHeader, paymentAddressHeader, paymentRateHeader, paymentTokenHeader } from '@flow402x/core/stream'
import { streamErrors } from './errors.ts'
import type { Seller } from './seller.ts'

/** A price as it was written, `'0.01'` or `0.01`: in dollars for each unit. */
export type FlowPrice = string | number

/** A price for each unit as headers write it: `0.01 USD/second`. */
export function rateText(price: FlowPrice, unit: string): string {
  const text = String(price).replace(/^\$/, '')
  return `${/[A-Za-z]/.test(text) ? text : `${text} USD`}/${unit}`
}

/** A price for each unit, exactly. Errors: `flow/bad-price`. */
export function rateOf(price: FlowPrice, unit: string): Rate {
  try {
    return parseRate(rateText(price, unit))
  } catch (cause) {
    throw streamErrors('flow/bad-price', {
      why: `"${price}" is no price for a ${unit}: write a plain decimal number, such as '0.01'`,
      cause,
    })
  }
}

/** The headers by which people and simple programs read an offer (DESIGN §8.1): friendly words, beside what `PAYMENT-REQUIRED` says. */
export function friendlyHeaders(
  { network, asset, recipient }: Seller,
  rate: { readonly price: FlowPrice; readonly unit: string },
): [string, string][] {
  return [
    [paymentAddressHeader.name, recipient],
    [paymentRateHeader.name, rateText(rate.price, rate.unit)],
    [paymentTokenHeader.name, asset.symbol],
    [networkHeader.name, formatNetwork(network).replaceAll(' ', '-')],
  ]
}
