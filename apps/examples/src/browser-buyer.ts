// A buyer in a web page: what a script of the page itself would hold, bundled for it.
import { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient, receiptOf } from '@flow402x/client'

/** What came of a purchase, in words that can leave the page. */
export type Bought =
  | { readonly status: number; readonly body: string; readonly transaction?: string }
  | { readonly error: string; readonly code: string }

/** Buys from any origin, with the page's own `fetch`. */
export async function buy(url: string, { privateKey, init }: { privateKey: `0x${string}`; init?: RequestInit }): Promise<Bought> {
  const client = createClient({ schemes: [exactEvmClient({ signer: privateKeySigner(privateKey) })] })
  try {
    const response = await client.fetch(url, init)
    const transaction = receiptOf(response)?.transaction
    return { status: response.status, body: await response.text(), ...(transaction === undefined ? {} : { transaction }) }
  } catch (error) {
    return { error: String(error), code: error instanceof Error && 'code' in error ? String(error.code) : 'none' }
  }
}

Object.assign(globalThis, { buy })
