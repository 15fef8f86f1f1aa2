import { expect, it } from 'vitest'
import { tellStory } from './story.ts'

it('tells the whole story and agrees with the chain', async () => {
  const lines: string[] = []
  const code = await tellStory({ once: true, signal: new AbortController().signal, say: (line) => lines.push(line) })
  expect({ code, story: lines.join('\n') }).toEqual({ code: 0, story: expect.stringContaining('buyer −0.05 USDC, seller +0.05 USDC') })
  expect(lines.filter((line) => /in transaction 0x[0-9a-f]{64} /.test(line))).toHaveLength(3)
  expect(lines.filter((line) => /in transaction [1-9A-HJ-NP-Za-km-z]{86,88} /.test(line))).toHaveLength(3)
  expect(lines.filter((line) => line.includes('seller +0.05 USDC'))).toHaveLength(2)
})
