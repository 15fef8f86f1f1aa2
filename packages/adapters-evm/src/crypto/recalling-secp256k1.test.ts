import { expect, it } from 'vitest'
import { recallingSecp256k1 } from './recalling-secp256k1.ts'
import { nobleSecp256k1 } from './secp256k1.ts'

const privateKey = new Uint8Array(32).fill(7)
const digestOf = (text: string) => new Uint8Array(32).fill(text.charCodeAt(0))

/** A recalling curve over a real one, and how often that was asked. */
function curve() {
  const asked: string[] = []
  const counted = recallingSecp256k1({
    ...nobleSecp256k1,
    recover(digest, signature) {
      asked.push(String(digest[0]))
      return nobleSecp256k1.recover(digest, signature)
    },
  })
  return { asked, counted }
}

it('recovers a signature once, whoever asks with what bytes of his own', () => {
  const { asked, counted } = curve()
  const digest = digestOf('a')
  const signature = nobleSecp256k1.sign(digest, privateKey)
  const key = nobleSecp256k1.publicKey(privateKey)
  for (let time = 0; time < 3; time += 1) expect(counted.recover(digest.slice(), signature.slice())).toEqual(key)
  expect(asked).toHaveLength(1)
})

it('tells apart whatever differs in a bit: digest, r, s and v', () => {
  const { asked, counted } = curve()
  const signature = nobleSecp256k1.sign(digestOf('a'), privateKey)
  const key = counted.recover(digestOf('a'), signature)
  for (const at of [0, 31, 32, 63, 64]) {
    const other = signature.slice()
    other[at] = at === 64 ? 27 + 28 - (other[at] ?? 0) : (other[at] ?? 0) ^ 1
    expect(counted.recover(digestOf('a'), other)).toEqual(nobleSecp256k1.recover(digestOf('a'), other))
    expect(counted.recover(digestOf('a'), other)).not.toEqual(key)
  }
  expect(counted.recover(digestOf('b'), signature)).not.toEqual(key)
  expect(asked).toHaveLength(7)
})

it('recalls that nobody signed, and lets nobody change what it recalls', () => {
  const { asked, counted } = curve()
  const nobody = new Uint8Array(65).fill(0xff, 0, 64).fill(27, 64)
  for (let time = 0; time < 2; time += 1) expect(counted.recover(digestOf('a'), nobody)).toBeUndefined()
  expect(asked).toHaveLength(1)
  const signature = nobleSecp256k1.sign(digestOf('c'), privateKey)
  counted.recover(digestOf('c'), signature)?.fill(0)
  counted.recover(digestOf('c'), signature)?.fill(0)
  expect(counted.recover(digestOf('c'), signature)).toEqual(nobleSecp256k1.publicKey(privateKey))
})

it('keeps the last few thousand', () => {
  let asked = 0
  const counted = recallingSecp256k1({
    ...nobleSecp256k1,
    recover() {
      asked += 1
      return undefined
    },
  })
  const signature = (index: number) => Uint8Array.from({ length: 65 }, (_, at) => (at === 0 ? index & 255 : at === 1 ? index >> 8 : 27))
  for (let index = 0; index <= 4096; index += 1) counted.recover(digestOf('a'), signature(index))
  counted.recover(digestOf('a'), signature(4096))
  expect(asked).toBe(4097)
  counted.recover(digestOf('a'), signature(0))
  expect(asked).toBe(4098)
})
