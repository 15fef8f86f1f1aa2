import { faultsOf, inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { useDevPages } from '../fixtures/dev-pages.ts'
import { injectWallet } from '../fixtures/injected-wallet.ts'
import { meters, receipt, said, start, story } from '../fixtures/stream-screen.ts'

describe.skipIf(noChromium !== undefined)(`the pages of paid streams, ${inChromium}`, { timeout: 60_000 }, () => {
  const { chain, newPage, open } = useDevPages()

  it('show a text token by token as it is paid, for the prompt that was typed', async () => {
    verifies('FS1-PAGE')
    const page = await open('/chat?prompt=%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E')
    expect(await page.getByLabel('Prompt').inputValue()).toBe('"><script>alert(1)</script>')
    await page.getByLabel('Prompt').fill('<b>a hare</b>, a kite, the hill')
    await start(page, '0.05')
    await said(page, /The stream is over/)
    const told = await story(page)
    expect(told).toContain('near the hill, <b>a hare</b> found a kite.')
    const words = told.trim().split(' ').length
    expect(await meters(page)).toEqual({ paid: words, units: words })
  })

  it('pay with the visitor’s own wallet by one signature, and ask it for nothing when it says no', async () => {
    verifies('FS1-PAGE')
    const { buyer, rpcUrl } = chain()
    let yes = false
    const page = await newPage()
    const asked = await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl, signs: () => yes })
    await open('/video.mp4', page)
    const before = await chain().balanceOf(buyer.address)
    await page.getByLabel('Budget, in dollars').fill('0.04')
    await page.getByRole('button', { name: 'Pay with Pocket' }).click()
    await said(page, /Pocket did not sign: User rejected the request/)
    expect([await chain().balanceOf(buyer.address), await meters(page)]).toEqual([before, { paid: 0, units: 0 }])
    yes = true
    await page.getByRole('button', { name: 'Pay with Pocket' }).click()
    await said(page, /All of the budget is signed for/)
    await page.getByRole('button', { name: 'Use the rest' }).click()
    await said(page, /over/)
    // To the last frame that fits, and not beyond.
    expect([(await receipt(page)) > 35_000n, (await receipt(page)) <= 40_000n]).toEqual([true, true])
    expect(asked.filter((method) => method === 'eth_signTypedData_v4')).toHaveLength(2)
    expect(before - (await chain().balanceOf(buyer.address))).toBe(40_000n)
    const left = page.getByRole('button', { name: /Get/ })
    await expect.poll(async () => (await receipt(page)) === 40_000n || (await left.isVisible())).toBe(true)
    if (await left.isVisible()) {
      await left.click()
      await said(page, /back in your wallet/)
    }
    expect(before - (await chain().balanceOf(buyer.address))).toBe(await receipt(page))
  })

  it('pay nothing on another network than the seller’s', async () => {
    verifies('FS1-PAGE')
    const { buyer, rpcUrl } = chain()
    const page = await newPage()
    const asked = await injectWallet(page, { privateKey: buyer.privateKey, rpcUrl, changes: false })
    await open('/video.mp4', page)
    await page.getByRole('button', { name: 'Pay with Pocket' }).click()
    await said(page, /Pocket is not on Base Sepolia/)
    expect(asked).toEqual(['eth_requestAccounts', 'wallet_switchEthereumChain'])
  })

  it('refuse a budget that is none', async () => {
    const page = await open('/video.mp4')
    for (const budget of ['', 'much', '-1', '0']) {
      await start(page, budget)
      await said(page, /price/)
      expect(await page.getByRole('button', { name: 'Pay with the test wallet' }).isEnabled()).toBe(true)
    }
  })

  it('have no fault that axe knows: before, while and after, in light, in dark and on a narrow screen', async () => {
    verifies('FS1-PAGE')
    for (const [path, budget] of [
      ['/video.mp4', '0.05'],
      ['/chat', '0.01'],
    ] as const) {
      const page = await open(path)
      expect(await faultsOf(page)).toEqual([])
      await start(page, budget)
      await page.getByRole('button', { name: 'Finish' }).waitFor()
      expect(await faultsOf(page)).toEqual([])
      if (await page.getByRole('button', { name: 'Finish' }).isVisible()) await page.getByRole('button', { name: 'Finish' }).click()
      await said(page, /over/)
      expect(await faultsOf(page)).toEqual([])
    }
  })
})
