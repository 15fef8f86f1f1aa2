import { oneUnit, readControlLine } from '@flow402x/core/stream'
import { verifies } from '@flow402x/testing/requirements'
import { expect, test } from 'vitest'
import { type PurseLane, purseLane } from '../fixtures/purse-lane.ts'
import { pump, type Sink, type Source } from './pump.ts'

/** What was written, and how it ended. */
type Page = Sink & { readonly written: string[]; readonly how: () => 'whole' | 'broken' | undefined; leave(): void }

function page(): Page {
  const written: string[] = []
  let [how, isClosed]: ['whole' | 'broken' | undefined, boolean] = [undefined, false]
  return {
    written,
    how: () => how,
    leave() {
      isClosed = true
    },
    isClosed: () => isClosed,
    isFull: () => false,
    write: (text) => void written.push(text),
    drained: () => Promise.resolve(),
    end() {
      how ??= 'whole'
    },
    fail() {
      how ??= 'broken'
    },
  }
}

/** A lane of an atomic unit each, with credit for so many. */
const laneWith = (credit: bigint): PurseLane => purseLane({ rate: { numerator: 1n, denominator: 1n }, unit: 'token', credit })

/** Pumps a source, and says how often the heart beats for it. */
function run(source: Source, lane: PurseLane): { readonly sink: Page; readonly hearts: () => number } {
  const sink = page()
  let hearts = 0
  const beats = (): (() => void) => {
    hearts += 1
    return () => {
      hearts -= 1
    }
  }
  pump(source, { lane, sink, format: 'ndjson', beats })
  return { sink, hearts: () => hearts }
}

test.each(['never answers', 'cannot be closed', 'fails to close'])('a source that %s does not keep its reader', async (fault) => {
  verifies(['FS1-VANISHED', 'FS1-IDLE'])
  const lane = laneWith(9n)
  let asked = 0
  const stuck: Source = () => ({
    [Symbol.asyncIterator]: () => ({
      next() {
        asked += 1
        return asked === 1 ? Promise.resolve({ done: false, value: 'one' }) : new Promise(() => {})
      },
      return() {
        if (fault === 'fails to close') throw new RangeError('will not close')
        return fault === 'cannot be closed' ? new Promise(() => {}) : Promise.resolve({ done: true, value: undefined })
      },
    }),
  })
  const { sink, hearts } = run(stuck, lane)
  await expect.poll(() => asked).toBe(2)
  expect([sink.how(), hearts()]).toEqual([undefined, 1])
  await lane.end('left')
  await expect.poll(sink.how).toBe('whole')
  const [first, ...rest] = sink.written
  expect([first, hearts()]).toEqual(['"one"\n', 0])
  expect(rest.map(readControlLine)).toMatchObject([
    { t: 'receipt', consumed: 1n, reason: 'left' },
    { t: 'end', consumed: 1n, reason: 'left' },
  ])
})

test('an item that comes when its lane is over is neither paid nor written', async () => {
  verifies(['FS1-GATE', 'FS1-IDLE'])
  const lane = laneWith(9n)
  let give = (_: IteratorResult<string>): void => {}
  const late: Source = () => ({
    [Symbol.asyncIterator]: () => ({
      next: () =>
        new Promise((resolve) => {
          give = resolve
        }),
    }),
  })
  const { sink } = run(late, lane)
  await expect.poll(() => give.length).toBe(1)
  await lane.end('left')
  give({ done: false, value: 'too late' })
  await expect.poll(sink.how).toBe('whole')
  expect([sink.written.filter((text) => text.includes('too late')), lane.used]).toEqual([[], 0n])
})

test('what was paid is written, though the lane is over in that moment', async () => {
  verifies(['FS1-GATE', 'FS1-IDLE'])
  const lane = laneWith(1n)
  const { sink } = run(async function* () {
    yield 'one'
    yield 'two'
  }, lane)
  await expect.poll(() => sink.written).toEqual(['"one"\n'])
  lane.pay(1n)
  await lane.end('left')
  await expect.poll(sink.how).toBe('whole')
  expect([sink.written.slice(0, 2), lane.used, lane.units]).toEqual([['"one"\n', '"two"\n'], 2n, 2n * oneUnit])
})

test('a source that throws at once breaks its answer off, and lets its lane go', () => {
  verifies('FS1-IDLE')
  const lane = laneWith(9n)
  const { sink, hearts } = run(() => {
    throw new RangeError('no source')
  }, lane)
  expect([sink.how(), lane.fate(), hearts(), sink.written]).toEqual(['broken', 'released', 0, []])
})

test('a source that fails later breaks its answer off, once what it gave is charged', async () => {
  verifies('FS1-IDLE')
  const lane = laneWith(9n)
  const { sink, hearts } = run(async function* () {
    yield 'one'
    throw new RangeError('no more')
  }, lane)
  await expect.poll(sink.how).toBe('broken')
  expect([lane.fate(), lane.used, hearts(), sink.written[0]]).toEqual(['ended', 1n, 0, '"one"\n'])
})

test('a reader who is gone lets the lane go, and its source is closed', async () => {
  verifies(['FS1-VANISHED', 'FS1-IDLE'])
  const lane = laneWith(9n)
  let isClosed = false
  const { sink, hearts } = run(async function* ({ signal }) {
    try {
      yield 'one'
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
    } finally {
      isClosed = true
    }
  }, lane)
  await expect.poll(() => sink.written).toEqual(['"one"\n'])
  sink.leave()
  lane.release()
  await expect.poll(() => isClosed).toBe(true)
  expect([lane.fate(), hearts(), sink.written]).toEqual(['released', 0, ['"one"\n']])
})
