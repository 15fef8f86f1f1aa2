import { privateKeySigner } from '@flow402x/adapters-evm/client'
import { inChromium, noChromium } from '@flow402x/testing/browser'
import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { useDevPages } from '../fixtures/dev-pages.ts'
import { dollars, film, meters, press, receipt, said, start } from '../fixtures/stream-screen.ts'

describe.skipIf(noChromium !== undefined)(`the page of a paid film, ${inChromium}`, { timeout: 60_000 }, () => {
  const { chain, open } = useDevPages()

  const rest = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

  it('play a film from what is paid, stop with the payment, go on with it, and give the rest back', async () => {
    verifies('FS1-PAGE')
    const page = await open('/video.mp4')
    await start(page, '0.09')
    await expect.poll(async () => (await film(page)).currentTime, { timeout: 15_000 }).toBeGreaterThan(1)
    expect(await film(page)).toMatchObject({ videoWidth: 160, paused: false })
    const flowing = await meters(page)
    // A cent a second, side by side.
    expect(Math.abs(flowing.paid - flowing.units * 100)).toBeLessThan(50)

    await page.getByRole('button', { name: 'Pause' }).click()
    await said(page, /Paused/)
    await rest(700)
    const [stood, shown] = [await meters(page), await film(page)]
    await rest(1500)
    expect(await meters(page)).toEqual(stood)
    expect(await film(page)).toMatchObject({ end: shown.end, paused: true })

    await page.getByRole('button', { name: 'Go on' }).click()
    await said(page, /All of the budget is signed for/)
    const spent = await meters(page)
    expect(spent.paid).toBeGreaterThan(stood.paid)
    // What is paid is seen to its end, and the film's own buttons spend nothing of what is left.
    const unseen = async () => Math.round(((await film(page)).end - (await film(page)).currentTime) * 2)
    await expect.poll(unseen, { timeout: 15_000 }).toBe(0)
    const stands = await meters(page)
    await press(page, 'pause')
    await press(page, 'play')
    await rest(1500)
    expect(await meters(page)).toEqual(stands)
    expect(stands.paid).toBeLessThanOrEqual(900)

    await page.getByLabel('Top up, in dollars').fill('0.05')
    await page.getByRole('button', { name: 'Top up' }).click()
    await expect.poll(async () => (await meters(page)).paid, { timeout: 15_000 }).toBeGreaterThan(900)
    await page.getByRole('button', { name: 'Finish' }).click()
    await said(page, /The stream is over/)
    expect(await page.locator('dl').textContent()).toMatch(/Received\d+\.\d secondsPaid\$0\.\d+ in USDC/)
    // The film ends with it, and waits for nothing.
    await expect.poll(() => page.locator('video').evaluate((video: HTMLVideoElement) => video.ended), { timeout: 15_000 }).toBe(true)
    const paid = await receipt(page)

    await page.getByRole('button', { name: `Get ${dollars(140_000n - paid)} back` }).click()
    await said(page, /The rest is back in your wallet: transaction 0x/)
    const key = await page.evaluate(() => localStorage.getItem('flow402x key: test wallet') ?? '')
    // All that it was given but what was paid.
    expect(await chain().balanceOf(privateKeySigner(key).address)).toBe(10_000_000n - paid)
  })

  it('stop and go on with the film’s own buttons', async () => {
    verifies('FS1-PAGE')
    const page = await open('/video.mp4')
    await start(page, '0.09')
    await expect.poll(async () => (await film(page)).currentTime, { timeout: 15_000 }).toBeGreaterThan(0.5)
    await press(page, 'pause')
    await said(page, /Paused/)
    await rest(700)
    const stood = await meters(page)
    await rest(1500)
    expect(await meters(page)).toEqual(stood)
    await press(page, 'play')
    await expect.poll(async () => (await meters(page)).paid, { timeout: 15_000 }).toBeGreaterThan(stood.paid)
  })

  it('remember over a reload what lies in the channel, pay with it first, and begin anew with a count of its own', async () => {
    verifies('FS1-PAGE')
    const page = await open('/video.mp4')
    await start(page, '0.06')
    await expect.poll(async () => (await meters(page)).units, { timeout: 15_000 }).toBeGreaterThan(1)
    await page.getByRole('button', { name: 'Finish' }).click()
    await said(page, /over/)
    const first = await receipt(page)
    const left = page.getByRole('button', { name: /Get/ })
    await expect.poll(() => left.textContent()).toBe(`Get ${dollars(60_000n - first)} back`)
    const key = await page.evaluate(() => localStorage.getItem('flow402x key: test wallet') ?? '')
    const held = await chain().balanceOf(privateKeySigner(key).address)

    await open('/chat', page)
    await start(page, '0.02')
    await said(page, /over/)
    const second = await meters(page)
    expect(second).toEqual({ paid: second.units, units: second.units })
    // Another route of the same seller, and nothing was deposited for it.
    expect(await chain().balanceOf(privateKeySigner(key).address)).toBe(held)
    await page.getByRole('button', { name: 'Start anew' }).click()
    await start(page, '0.02')
    await said(page, /over/)
    expect(await meters(page)).toEqual(second)
    await expect.poll(() => left.textContent()).toBe(`Get ${dollars(60_000n - first - 2n * BigInt(second.paid) * 100n)} back`)
  })
})
