import fc from 'fast-check'
import { expect, test } from 'vitest'
import { inEachRuntime } from '../fixtures/runtimes.ts'
import { fromBase64, textToBase64, toBase64 } from './base64.ts'

inEachRuntime(() => {
  test('bytes and texts are written as they are everywhere, and read back without padding too', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.string({ unit: 'grapheme', minLength: 1 }), (bytes, text) => {
        expect(toBase64(bytes)).toBe(btoa(String.fromCharCode(...bytes)))
        expect(new Uint8Array(fromBase64(toBase64(bytes).replace(/=+$/, '')) ?? [])).toEqual(bytes)
        expect(new TextDecoder().decode(fromBase64(textToBase64(text)))).toBe(text)
      }),
    )
  })

  test('what is not whole is nothing, whichever letter is put in, taken away or changed that no base64 has', () => {
    // Some of the last are a letter of base64 with something above it.
    const strange = fc.constantFrom('-', '_', '=', ' ', '\n', '\0', ',', 'ÿ', '\u0141', '\u2c41', '\u{1f600}')
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.nat(), fc.nat(2), strange, (bytes, place, taken, letter) => {
        const text = toBase64(bytes)
        const at = place % (text.length + 1)
        const changed = `${text.slice(0, at)}${letter}${text.slice(at + taken)}`
        const letters = changed.replace(/={1,2}$/, '')
        const isRight = /^[A-Za-z0-9+/]+$/.test(letters) && letters.length % 4 !== 1
        expect(fromBase64(changed) !== undefined).toBe(isRight)
      }),
      { numRuns: 500 },
    )
    expect(fromBase64('')).toBeUndefined()
    expect(fromBase64('==')).toBeUndefined()
  })
})
