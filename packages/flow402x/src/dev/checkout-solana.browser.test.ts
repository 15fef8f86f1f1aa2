import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { faultsOf, inChromium, noChromium, openVisitor, type Visitor } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import type { Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { injectWallet } from '../fixtures/injected-wallet.ts'
import { openPaidShop, type PaidShop } from '../fixtures/paid-shop.ts'
import { registerWallet, type StandardWallet } from '../fixtures/standard-wallet.ts'
import { said } from '../fixtures/stream-screen.ts'

const signing = 'solana:signTransaction'
const payButton = (page: Page) => page.getByRole('button', { name: 'Pay with Sunglasses' })

describe.skipIf(noChromium !== undefined)(
  `the page of what is bought whole, with a wallet of Solana, ${inChromium}`,
  { timeout: 60_000 },
  () => {
    let [solana, shop, visitor]: [SolanaChain?, PaidShop?, Visitor?] = []
    const ready = <Part>(part: Part | undefined): Part => part ?? expect.fail('nothing is open')
    const earned = () => ready(solana).balanceOf(ready(solana).seller.address)
    beforeAll(async () => {
      solana = await startSolanaChain()
      shop = await openPaidShop({ solana })
      visitor = await openVisitor(shop.url)
      shop.sell('/both', (response) => response.writeHead(200, { 'content-type': 'text/plain' }).end('from either chain'))
    })
    afterEach(async () => {
      await visitor?.leave()
      expect(visitor?.strange()).toEqual([])
    })
    afterAll(async () => {
      await visitor?.close()
      await shop?.close()
      await solana?.stop()
    })

    async function tab(wallet: Partial<StandardWallet> = {}) {
      const page = await ready(visitor).newPage()
      const { buyer, rpcUrl } = ready(shop).chain
      await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl })
      const loaded: string[] = []
      page.on('request', (request) => loaded.push(request.url()))
      const { address, privateKey } = ready(solana).buyer
      const asked = await registerWallet(page, { address, privateKey, ...wallet })
      await page.goto(`${ready(shop).url}/both`)
      return { page, signed: () => asked.filter((feature) => feature === signing).length, loaded }
    }

    it('pays on the chain that was chosen, by the wallets of that chain, once; and loads nothing of Solana before', async () => {
      verifies(['PAY-PAGE', 'H2', 'H48'])
      const before = await earned()
      const { page, signed, loaded } = await tab()
      await expect.poll(() => page.getByRole('button', { name: 'Pay with Pocket' }).isVisible()).toBe(true)
      expect(await payButton(page).isVisible()).toBe(false)
      await page.getByLabel(/Solana devnet/).check()
      expect([await payButton(page).isVisible(), await page.getByRole('button', { name: 'Pay with Pocket' }).isVisible()]).toEqual([
        true,
        false,
      ])
      expect(await faultsOf(page)).toEqual([])
      const scripts = () => loaded.filter((url) => url.endsWith('.js')).length
      expect(scripts()).toBe(1)
      await payButton(page).click()
      await said(page, /Here is what you bought/)
      expect([scripts(), signed()]).toEqual([2, 1])
      expect(await page.locator('.goods pre').textContent()).toBe('from either chain')
      await expect.poll(earned).toBe(before + 10_000n)
      await page.reload()
      await said(page, /Here is what you bought/)
      expect([signed(), (await earned()) - before]).toEqual([1, 10_000n])
    })

    it('pays nothing where its owner says no, or where the wallet has no account on that network', async () => {
      verifies('PAY-PAGE')
      const before = await earned()
      const no = await tab({ signs: () => false })
      await no.page.getByLabel(/Solana devnet/).check()
      await payButton(no.page).click()
      await said(no.page, /Sunglasses did not sign: User rejected the request\. No money moved/)
      const other = await tab({ chain: 'solana:testnet' })
      await other.page.getByLabel(/Solana devnet/).check()
      await payButton(other.page).click()
      await said(other.page, /Sunglasses is not on Solana devnet/)
      expect([no.signed(), other.signed(), await earned()]).toEqual([1, 0, before])
    })
  },
)
