import { type Page, pageFileAddress, toText } from '@flow402x/core/page'
import { checkoutScript, solanaScript, streamScript } from '#scripts'
import { checkoutDocument } from './checkout-document.ts'
import { frameFile } from './goods-frame.ts'
import { fileOf, guards } from './serving.ts'
import { streamDocument } from './stream-document.ts'
import { stylesheet } from './stylesheet.ts'

/** How pages are served. */
export type PaymentPageOptions = {
  /**
   * For local worlds alone: the path that gives test money to whom a POST names by `?network=…&address=…`. The page then makes a wallet of its
   * own, whose key stays in the browser, and offers it beside the visitor's.
   */
  readonly testWallet?: string
}

/**
 * The page on which people pay: `createServer({ …, page: paymentPage() })` for what is bought whole, `createStreams({ …, page: paymentPage() })`
 * for what is paid as it flows. Whoever opens the URL in a browser sees the price, pays with his own wallet and has what he paid for;
 * programs get the offer as before.
 */
export function paymentPage({ testWallet }: PaymentPageOptions = {}): Page {
  let files: ReturnType<typeof filesOf> | undefined
  const made = () => {
    files ??= filesOf()
    return files
  }
  return {
    async show(visit) {
      const { stream, checkout, solana, style, frame } = await made()
      const nonce = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(18))))
      const { rate } = visit
      const at = (file: { readonly name: string }) => pageFileAddress(file.name)
      const options = { script: at(rate === undefined ? checkout : stream), style: at(style), nonce, testWallet }
      const page =
        rate === undefined
          ? checkoutDocument(visit, { ...options, frame: at(frame), solana: at(solana) })
          : streamDocument({ ...visit, rate }, options)
      const headers = { ...guards(nonce), 'Content-Type': 'text/html; charset=utf-8', Vary: 'Accept, Sec-Fetch-Mode, PAYMENT-SIGNATURE' }
      return { status: 402, headers, body: toText(page) }
    },
    async file(name) {
      return Object.values(await made()).find((file) => file.name === name)?.answer
    },
  }
}

/** The files, by names that say what is in them: a browser asks for each once. */
async function filesOf() {
  const [stream, checkout, solana] = await Promise.all([streamScript(), checkoutScript(), solanaScript()])
  return {
    stream: await fileOf(stream, { type: 'text/javascript', extension: 'js' }),
    checkout: await fileOf(checkout, { type: 'text/javascript', extension: 'js' }),
    solana: await fileOf(solana, { type: 'text/javascript', extension: 'js' }),
    style: await fileOf(stylesheet, { type: 'text/css', extension: 'css' }),
    frame: await frameFile(),
  }
}
