import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { sidOfBytes } from './frames.ts'
import {
  laneMessage,
  readControlEvent,
  readControlLine,
  readLaneMessage,
  readStaleAnswer,
  readTickAnswer,
  writeMessage,
} from './messages.ts'

const sid = sidOfBytes(new Uint8Array(16).fill(9))
const voucher = { channelId: '0xab', maxClaimableAmount: 190_000n, signature: '0xcd' }

describe('what is posted to a tick URL', () => {
  it('is a tick', () => {
    verifies('FS1-MESSAGES')
    const text = `{"sid":"${sid}","seq":17,"voucher":{"channelId":"0xab","maxClaimableAmount":"190000","signature":"0xcd"},"seen":{"units":"17.02"}}`
    const tick = readLaneMessage(text)
    expect(tick).toEqual({ sid, seq: 17, voucher, seen: { units: 17_020_000_000n } })
    expect(tick && writeMessage(tick)).toBe(text)
  })

  it('is read as the schema reads it, whatever is odd about it', () => {
    verifies('FS1-MESSAGES')
    const odd = fc.constantFrom<unknown>(null, -1, 1.5, 2 ** 53, '', '1', '-1', '007', [], {}, ['1'], { units: '1' }, 'x'.repeat(300), true)
    const plain = { sid, seq: 3, voucher: { channelId: '0xab', maxClaimableAmount: '19', signature: '0xcd' }, seen: { units: '1.5' } }
    const places = fc.constantFrom('sid', 'seq', 'voucher', 'seen', 'op', 'more', 'channelId', 'maxClaimableAmount', 'signature', 'units')
    const change = fc.record({ place: places, value: fc.oneof(odd, fc.constant(undefined), fc.constant(sid), fc.constant('pause')) })
    let taken = 0
    fc.assert(
      fc.property(fc.array(change, { maxLength: 2 }), (changes) => {
        const said: Record<string, unknown> = { ...plain, voucher: { ...plain.voucher }, seen: { ...plain.seen } }
        for (const { place, value } of changes) {
          const within = place in plain.voucher ? said.voucher : place in plain.seen ? said.seen : said
          if (typeof within === 'object' && within !== null) Object.assign(within, { [place]: value })
        }
        const text = JSON.stringify(said)
        const read = readLaneMessage(text)
        if (read !== undefined) taken += 1
        expect(read).toEqual(laneMessage.safeParse(JSON.parse(text)).data)
      }),
      { numRuns: 2000 },
    )
    expect(taken).toBeGreaterThan(100)
  })

  it('or a word about a lane, with a last voucher or without', () => {
    verifies('FS1-MESSAGES')
    for (const op of ['pause', 'resume', 'close'] as const) expect(readLaneMessage(writeMessage({ sid, op }))).toEqual({ sid, op })
    expect(readLaneMessage(writeMessage({ sid, op: 'close', final: voucher }))).toEqual({ sid, op: 'close', final: voucher })
  })

  it.each([
    ['no JSON', '{'],
    ['no lane', '{"op":"pause"}'],
    ['a word nobody knows', `{"sid":"${sid}","op":"refund"}`],
    [
      'a tick with a word nobody knows',
      `{"sid":"${sid}","op":"refund","voucher":{"channelId":"a","maxClaimableAmount":"1","signature":"b"}}`,
    ],
    ['a number for money', `{"sid":"${sid}","voucher":{"channelId":"a","maxClaimableAmount":1,"signature":"b"}}`],
    ['more than any voucher', `{"sid":"${sid}","voucher":{"channelId":"a","maxClaimableAmount":"${'9'.repeat(40)}","signature":"b"}}`],
    ['a negative amount', `{"sid":"${sid}","voucher":{"channelId":"a","maxClaimableAmount":"-1","signature":"b"}}`],
  ])('but not %s', (_, text) => {
    verifies('FS1-MESSAGES')
    expect(readLaneMessage(text)).toBeUndefined()
  })
})

describe('what is answered', () => {
  it('is where the lane stands', () => {
    verifies('FS1-MESSAGES')
    const text =
      '{"accepted":"190000","consumed":"170210","charged":"190000","ttl":1.98,"channel":{"balance":"6000000","claimed":"0","withdrawRequestedAt":0}}'
    const answer = readTickAnswer(text)
    expect(answer).toMatchObject({ accepted: 190_000n, consumed: 170_210n, ttl: 1.98, channel: { balance: 6_000_000n } })
    expect(answer && writeMessage(answer)).toBe(text)
    expect(readStaleAnswer('{"accepted":"7","title":"stale"}')).toBe(7n)
    expect([readTickAnswer('[]'), readStaleAnswer('{}'), readStaleAnswer('x')]).toEqual([undefined, undefined, undefined])
  })

  it('is told apart from what an application says in ndjson', () => {
    verifies('FS1-MESSAGES')
    const event = { t: 'receipt', sid, consumed: 5n, charged: 5n, units: 500_000_000n } as const
    const line = `{"$flow402x":${writeMessage(event)}}`
    expect([readControlEvent(writeMessage(event)), readControlLine(line)]).toEqual([event, event])
    for (const other of ['{"a":1}', `{"$flow402x":{"t":"receipt"}}`, `{"$flow402x":${writeMessage(event)},"more":1}`, ` ${line}`, '']) {
      expect(readControlLine(other)).toBeUndefined()
    }
  })

  it('never throws, whatever is said', () => {
    verifies('FS1-MESSAGES')
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.json().map((json) => `{"$flow402x":${json}}`),
        ),
        (text) => {
          for (const read of [readLaneMessage, readTickAnswer, readStaleAnswer, readControlEvent, readControlLine]) read(text)
        },
      ),
    )
  })
})
