import { Mppx as Buyer } from 'mppx/client'
import { evm as pays } from 'mppx/evm/client'
import { evm as sells } from 'mppx/evm/server'
import { Mppx as OnExpress } from 'mppx/express'
import { Mppx as OnHono } from 'mppx/hono'
import { privateKeyToAccount } from 'viem/accounts'
import { hex, price } from './terms.ts'

type Sale = { readonly facilitatorUrl: string; readonly payTo: string }

/** What stands before a route of Express in the house of mppx, speaking x402 beside its own protocol. */
export function mppxExpress(sale: Sale) {
  return OnExpress.create(terms(sale)).charge(charge)
}

/** What stands before a route of Hono in the house of mppx. */
export function mppxHono(sale: Sale) {
  return OnHono.create(terms(sale)).charge(charge)
}

/** A buyer of the house of mppx. */
export function mppxFetch(privateKey: string): (url: string) => Promise<Response> {
  const { fetch } = Buyer.create({
    methods: [pays({ account: privateKeyToAccount(hex(privateKey)), currencies: [pays.assets.baseSepolia.USDC] })],
    polyfill: false,
  })
  return (url) => fetch(url)
}

const charge = { amount: price.text.slice(1) }

function terms({ facilitatorUrl, payTo }: Sale) {
  const method = sells.charge({ currency: sells.assets.baseSepolia.USDC, recipient: hex(payTo), x402: { facilitator: facilitatorUrl } })
  return { methods: [method] as const, secretKey: 'a secret that only a benchmark knows' }
}
