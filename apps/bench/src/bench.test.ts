import { describe, expect, test } from 'vitest'
import { atLeastOfOfficial, atMost, atMostOfOfficial, type Context, figureOf, median } from './report/figure.ts'
import { machineFacts, markdownTable, missesIn, terminalTable } from './report/table.ts'
import { rows } from './rows/all.ts'

// That a row runs, and nothing about how fast: a machine under load says nothing about that.
const context: Context = { rounds: 1, share: 0.002, profiles: undefined, onProgress: () => {} }

test('every row of the benchmark has a name of its own', () => {
  expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length)
})

test('a row runs in processes of its own and gives figures that survive JSON', async () => {
  const codec = rows.find(({ name }) => name === 'codec')
  const figures = await codec?.run(context)
  const positive = expect.objectContaining({ median: expect.any(Number), samples: 1 })
  expect(JSON.parse(JSON.stringify(figures))).toEqual([
    {
      row: 'codec',
      figure: 'encode + decode + validate PAYMENT-SIGNATURE',
      unit: 'µs',
      status: 'measured',
      ours: positive,
      official: positive,
      ratio: expect.any(Number),
      targets: [
        { text: '≤ 12 µs', kind: 'absolute', met: expect.any(Boolean) },
        { text: '≤ 0.25× official', kind: 'ratio', met: expect.any(Boolean) },
      ],
    },
  ])
  for (const { ours, official } of figures ?? []) {
    expect(ours?.median).toBeGreaterThan(0)
    expect(official?.median).toBeGreaterThan(0)
  }
})

test('the row of the bazaar searches what it filled, on both stores', async () => {
  const figures = await rows.find(({ name }) => name === 'bazaar')?.run(context)
  const found = (engine: string) => ({
    row: 'bazaar',
    figure: `search p95 at 200 listings, ${engine}`,
    unit: 'ms',
    status: 'measured',
    ours: { median: expect.any(Number), samples: 1 },
    targets: [{ text: '≤ 50 ms', kind: 'absolute' }],
  })
  expect(figures).toMatchObject([found('SQLite'), found('PostgreSQL')])
})

test('a row that cannot be measured says so', async () => {
  const figures = await rows.find(({ name }) => name === 'size')?.run(context)
  const absent = figures?.filter(({ status }) => status === 'unavailable') ?? []
  expect(absent).toMatchObject([{ row: 'size', note: 'not in a quick run', targets: [] }])
  expect(missesIn(absent)).toEqual([])
  expect(terminalTable(absent)).toContain('unavailable')
})

describe('a figure', () => {
  const slow = figureOf({ row: 'row', figure: 'time', unit: 'ms', ours: [4, 2, 9], official: [8, 8, 8] }, [
    atMost(3, 'ms'),
    atMostOfOfficial(0.25),
    atMostOfOfficial(0.5),
  ])

  test('is judged on its medians', () => {
    expect(slow.ours).toEqual({ median: 4, low: 2, high: 9, samples: 3 })
    expect(slow.ratio).toBe(0.5)
    expect(slow.targets.map(({ met }) => met)).toEqual([false, false, true])
  })

  test('says plainly which targets it missed, and only ratios gate', () => {
    expect(missesIn([slow])).toEqual([
      { text: 'row: time is 4 ms, target ≤ 3 ms', gates: false },
      { text: 'row: time is 4 ms, target ≤ 0.25× official', gates: true },
    ])
  })

  test('stands in the table with its spread', () => {
    expect(markdownTable([slow]).split('\n').at(-1)).toBe(
      '| row | time | 4 ms (2–9) | 8 ms | – | – | 0.50× | ≤ 3 ms: MISSED; ≤ 0.25× official: MISSED; ≤ 0.5× official: met |',
    )
  })

  test('of a peer that does nothing is met by anything', () => {
    const { targets } = figureOf({ row: 'row', figure: 'rate', unit: '/s', ours: [1], official: [0] }, [atLeastOfOfficial(8)])
    expect(targets).toEqual([{ text: '≥ 8× official', kind: 'ratio', met: true }])
  })
})

test('the median of an even number of samples lies between the middle ones', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('the machine is named', () => {
  expect(machineFacts()).toEqual({
    cpu: expect.any(String),
    cores: expect.any(Number),
    node: process.versions.node,
    system: expect.any(String),
  })
})
