import { expect, it } from 'vitest'
import { tellStory } from './story.ts'

it('tells the whole story and agrees with the chain', { timeout: 180_000 }, async () => {
  const lines: string[] = []
  const code = await tellStory({ once: true, signal: new AbortController().signal, say: (line) => lines.push(line) })
  expect({ code, story: lines.join('\n') }).toEqual({ code: 0, story: expect.stringContaining('buyer −0.05 USDC, seller +0.05 USDC') })
  expect(lines.filter((line) => /in transaction 0x[0-9a-f]{64} /.test(line))).toHaveLength(5)
  expect(lines.filter((line) => /in transaction [1-9A-HJ-NP-Za-km-z]{86,88} /.test(line))).toHaveLength(3)
  expect(lines.filter((line) => line.includes('seller +0.05 USDC'))).toHaveLength(2)
  const story = lines.join('\n')
  expect(story).toMatch(
    /asks 0\.0001 ETH on Base Sepolia \(transfer-proof\)[\s\S]*paid {3}in transaction 0x[0-9a-f]{64} by a transfer[\s\S]*seller \+0\.0001 ETH/,
  )
  expect(story).toMatch(
    /"amount_lamports":1000000[\s\S]*X-Payment-Signature: \w{86,88}[\s\S]*400 {4}the same proof again: duplicate_settlement[\s\S]*seller \+0\.001 SOL/,
  )
  expect(story).toMatch(
    /finds {2}0\.002 USDC, failing[\s\S]*finds {2}0\.004 USDC, healthy: Teller[\s\S]*seller \+0\.004 USDC; the receipt that the seller signed is valid[\s\S]*rated {2}5 of 5 stars/,
  )
  // Tokens at $0.0001 each, up to a ceiling.
  const [, made = '0'] = /"tokens":(\d+)/.exec(lines.join('\n')) ?? []
  const paid = `0.${String(Number(made)).padStart(4, '0')}`.replace(/0+$/, '')
  expect(lines).toEqual(expect.arrayContaining([expect.stringContaining(`buyer −${paid} USDC, seller +${paid} USDC`)]))
  expect(lines).toEqual(expect.arrayContaining([expect.stringContaining('asks up to 0.05 USDC on Base Sepolia (upto)')]))
  // Bytes and money side by side, until the wallet is empty and from there on once it is filled.
  expect(story).toMatch(
    /holds 0\.02 USDC\n(?: {2}flows +[\d.]+ kB for 0\.0\d+ USDC +of 0\.0\d+ USDC signed\n){2,} {2}stops[^\n]*0\.02 USDC signed: the wallet is empty\n[^\n]*goes on where it stopped\n(?: {2}flows [^\n]+\n){2,} {2}stops[^\n]*signed: as agreed/,
  )
  // A thousand calls are a deposit, and a claim that pays out.
  expect(lines).toEqual(expect.arrayContaining([expect.stringMatching(/buyer deposited 1\.01 USDC and drew 1 USDC, seller \+1 USDC/)]))
  const [, gas = '', count = ''] = /gas {4}[\d,]+ in (\d+) transactions: ([\d.]+) a call/.exec(lines.join('\n')) ?? []
  expect([gas, Number(count) < 300]).toEqual(['2', true])
})
