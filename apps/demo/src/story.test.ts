import { expect, it } from 'vitest'
import { tellStory } from './story.ts'

it('tells the whole story and agrees with the chain', { timeout: 90_000 }, async () => {
  const lines: string[] = []
  const code = await tellStory({ once: true, signal: new AbortController().signal, say: (line) => lines.push(line) })
  expect({ code, story: lines.join('\n') }).toEqual({ code: 0, story: expect.stringContaining('buyer −0.05 USDC, seller +0.05 USDC') })
  expect(lines.filter((line) => /in transaction 0x[0-9a-f]{64} /.test(line))).toHaveLength(4)
  expect(lines.filter((line) => /in transaction [1-9A-HJ-NP-Za-km-z]{86,88} /.test(line))).toHaveLength(3)
  expect(lines.filter((line) => line.includes('seller +0.05 USDC'))).toHaveLength(2)
  // Tokens at $0.0001 each, up to a ceiling.
  const [, made = '0'] = /"tokens":(\d+)/.exec(lines.join('\n')) ?? []
  const paid = `0.${String(Number(made)).padStart(4, '0')}`.replace(/0+$/, '')
  expect(lines).toEqual(expect.arrayContaining([expect.stringContaining(`buyer −${paid} USDC, seller +${paid} USDC`)]))
  expect(lines).toEqual(expect.arrayContaining([expect.stringContaining('asks up to 0.05 USDC on Base Sepolia (upto)')]))
  // A thousand calls are a deposit, a claim and a payout.
  expect(lines).toEqual(expect.arrayContaining([expect.stringMatching(/buyer deposited 1\.01 USDC and drew 1 USDC, seller \+1 USDC/)]))
  const [, gas = '', count = ''] = /gas {4}[\d,]+ in (\d+) transactions: ([\d.]+) a call/.exec(lines.join('\n')) ?? []
  expect([gas, Number(count) < 300]).toEqual(['3', true])
})
