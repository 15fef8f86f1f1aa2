import { setImmediate as tick } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { coalesce } from './coalesce.ts'

test('questions of one moment share a request, up to the most that fit', async () => {
  const requests: number[][] = []
  const ask = coalesce(
    async (items: readonly number[]) => {
      requests.push([...items])
      return items.map((item) => item * 10)
    },
    { most: 3, atOnce: 2 },
  )
  expect(await Promise.all([1, 2, 3, 4].map(ask))).toEqual([10, 20, 30, 40])
  expect(requests).toEqual([[1, 2, 3], [4]])
  expect(await ask(5)).toBe(50)
})

test('while all requests are under way, questions wait and then go together', async () => {
  const requests: number[] = []
  const open: (() => void)[] = []
  const ask = coalesce(
    async (items: readonly number[]) => {
      requests.push(items.length)
      await new Promise<void>((resolve) => open.push(resolve))
      return items
    },
    { most: 10, atOnce: 1 },
  )
  const answers = [ask(1)]
  await tick()
  answers.push(ask(2), ask(3))
  await tick()
  answers.push(ask(4))
  await tick()
  expect(requests).toEqual([1])
  open[0]?.()
  await tick()
  expect(requests).toEqual([1, 3])
  open[1]?.()
  expect(await Promise.all(answers)).toEqual([1, 2, 3, 4])
})

test('with patience, questions wait for the request under way, but not longer, and not once they fill one', async () => {
  const requests: number[] = []
  const open: (() => void)[] = []
  const ask = coalesce(
    async (items: readonly number[]) => {
      requests.push(items.length)
      await new Promise<void>((resolve) => open.push(resolve))
      return items
    },
    { most: 3, atOnce: 4, patience: 200 },
  )
  const answers = [ask(1)]
  await tick()
  answers.push(ask(2), ask(3))
  await tick()
  expect(requests).toEqual([1])
  open[0]?.()
  await tick()
  expect(requests).toEqual([1, 2])
  answers.push(ask(4))
  await tick()
  expect(requests).toEqual([1, 2])
  answers.push(ask(5), ask(6))
  await tick()
  expect(requests).toEqual([1, 2, 3])
  answers.push(ask(7))
  await expect.poll(() => requests).toEqual([1, 2, 3, 1])
  for (const end of open) end()
  expect(await Promise.all(answers)).toEqual([1, 2, 3, 4, 5, 6, 7])
})

test('a request that fails fails its own questions, and the next ones are asked', async () => {
  let broken = true
  const ask = coalesce(
    async (items: readonly number[]) => {
      if (broken) throw new Error('down')
      return items
    },
    { most: 10, atOnce: 1 },
  )
  await expect(Promise.all([ask(1), ask(2)])).rejects.toThrow('down')
  broken = false
  expect(await ask(3)).toBe(3)
})

test('with company, a question waits for as many as shared the last request, and one by itself for nobody', async () => {
  const requests: number[] = []
  const ask = coalesce(
    async (items: readonly number[]) => {
      requests.push(items.length)
      return items
    },
    { most: 10, atOnce: 4, company: 60_000 },
  )
  // A minute would not pass: whoever is alone waits for nobody.
  for (const item of [1, 2]) expect(await ask(item)).toBe(item)
  expect(await Promise.all([ask(3), ask(4), ask(5)])).toEqual([3, 4, 5])
  const answers = [ask(6)]
  await tick()
  answers.push(ask(7))
  await tick()
  expect(requests).toEqual([1, 1, 3])
  answers.push(ask(8))
  expect(await Promise.all(answers)).toEqual([6, 7, 8])
  expect(requests).toEqual([1, 1, 3, 3])
})

test('where no company comes, a question goes without it, and the next waits for nobody', async () => {
  const requests: number[] = []
  const ask = coalesce(
    async (items: readonly number[]) => {
      requests.push(items.length)
      return items
    },
    { most: 10, atOnce: 4, company: 20 },
  )
  await Promise.all([ask(1), ask(2)])
  expect(await ask(3)).toBe(3)
  expect(await ask(4)).toBe(4)
  expect(requests).toEqual([2, 1, 1])
})
