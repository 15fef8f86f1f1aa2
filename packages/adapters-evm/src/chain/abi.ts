import type { Hex } from '../crypto/bytes.ts'
import { hexText } from './address.ts'

/** A call of a contract: its address and calldata. */
export type Target = { readonly target: string; readonly data: Hex }

/** What came of one call: whether it ended well, and the bytes it gave back. */
export type CallResult = { readonly success: boolean; readonly data: Hex }

/** A value as a 256-bit word: an integer, an address or 32 bytes of hex. */
export type Word = bigint | Hex

/** Calldata: a selector, static words, and at most one trailing `bytes`. */
export function encodeCall(selector: Hex, words: readonly Word[], tail?: Hex): Hex {
  const head = words.map(encodeWord).join('')
  if (tail === undefined) return `${selector}${head}`
  return `${selector}${head}${encodeSize((words.length + 1) * 32)}${encodeBytes(tail)}`
}

/** Where Multicall3 stands on every chain. */
export const multicall3 = '0xcA11bde05977b3631167028862bE2a173976CA11'

/** Calldata of Multicall3 `aggregate3`, in which every call may fail by itself. */
export function encodeAggregate(calls: readonly Target[]): Hex {
  const items = calls.map(({ target, data }) => `${encodeWord(toHexText(target))}${mayFail}${encodeBytes(data)}`)
  return `0x82ad56cb${encodeSize(32)}${encodeList(items)}`
}

/** A list of members of changing size, each encoded already: its length, where each begins, and the members. Digits without `0x`. */
export function encodeList(items: readonly string[]): string {
  let next = items.length * 32
  const offsets = items.map((item) => {
    const offset = next
    next += item.length / 2
    return encodeSize(offset)
  })
  return [encodeSize(items.length), ...offsets, ...items].join('')
}

/** The calls in calldata of `aggregate3`; nothing for any other calldata. */
export function decodeCalls(data: Hex): readonly Target[] | undefined {
  const body = data.slice(10)
  const list = data.startsWith('0x82ad56cb') ? readNumber(body, 0) : undefined
  const count = list === undefined ? undefined : readNumber(body, list)
  if (list === undefined || count === undefined || count > body.length) return undefined
  const calls: Target[] = []
  for (let index = 0; index < count; index += 1) {
    const offset = readNumber(body, list + 32 + index * 32)
    const item = offset === undefined ? undefined : list + 32 + offset
    const inner = item === undefined ? undefined : readNumber(body, item + 64)
    const inside = item === undefined || inner === undefined ? undefined : readBytes(body, item + inner)
    if (item === undefined || inside === undefined) return undefined
    calls.push({ target: `0x${body.slice(item * 2 + 24, item * 2 + 64)}`, data: inside })
  }
  return calls
}

/** The results of `aggregate3`, or nothing where the bytes are not `count` of them. */
export function decodeAggregate(answer: Hex, count: number): readonly CallResult[] | undefined {
  const body = answer.slice(2)
  const list = readNumber(body, 0)
  if (list === undefined || readNumber(body, list) !== count) return undefined
  const start = list + 32
  const results: CallResult[] = []
  for (let index = 0; index < count; index += 1) {
    const offset = readNumber(body, start + index * 32)
    const success = offset === undefined ? undefined : readNumber(body, start + offset)
    const inner = offset === undefined ? undefined : readNumber(body, start + offset + 32)
    const data = offset === undefined || inner === undefined ? undefined : readBytes(body, start + offset + inner)
    if (data === undefined || success === undefined || success > 1) return undefined
    results.push({ success: success === 1, data })
  }
  return results
}

/** The 256-bit integer at word `index` of an answer, or nothing where it is too short. */
export function decodeWord(answer: Hex, index = 0): bigint | undefined {
  const word = answer.slice(2 + index * 64, 2 + (index + 1) * 64)
  return word.length === 64 ? BigInt(`0x${word}`) : undefined
}

/** What stands in an ERC-6492 wrapper: the factory, its calldata, and the signature for the account it deploys. */
export type Wrapped = { readonly factory: Hex; readonly factoryData: Hex; readonly signature: Hex }

const wrapperEnd = '6492'.repeat(16)

/** Whether a signature is wrapped as ERC-6492 says. */
export function isWrapped(signature: Hex): boolean {
  return signature.toLowerCase().endsWith(wrapperEnd)
}

/** The content of an ERC-6492 wrapper, or nothing where it does not hold together. */
export function decodeWrapped(signature: Hex): Wrapped | undefined {
  const body = signature.slice(2, -64)
  const dataAt = readNumber(body, 32)
  const signatureAt = readNumber(body, 64)
  const factoryData = dataAt === undefined ? undefined : readBytes(body, dataAt)
  const inner = signatureAt === undefined ? undefined : readBytes(body, signatureAt)
  if (factoryData === undefined || inner === undefined || inner === '0x') return undefined
  return { factory: `0x${body.slice(24, 64)}`, factoryData, signature: inner }
}

/** The sentence of a Solidity `revert("…")`, cut to 200 characters, or the raw bytes of another one. */
export function revertReason(data: Hex): string {
  const text = data.startsWith('0x08c379a0') ? readBytes(data.slice(10), 32) : undefined
  if (text === undefined) return data === '0x' ? 'no reason was given' : data.slice(0, 74)
  const bytes = Uint8Array.from(text.slice(2).match(/../g) ?? [], (pair) => Number.parseInt(pair, 16))
  return new TextDecoder().decode(bytes).slice(0, 200)
}

/** Hex with `0x`, as RPC nodes and contracts give it. */
export const hexSchema = hexText()

/** A value as one word. Digits without `0x`. */
export function encodeWord(value: Word): string {
  if (typeof value === 'bigint') return value.toString(16).padStart(64, '0')
  const digits = value.slice(2).toLowerCase()
  return digits.length === 64 ? digits : `${zeros.slice(digits.length)}${digits}`
}

/** A length or an offset as one word. */
function encodeSize(size: number): string {
  return `${high}${size.toString(16).padStart(8, '0')}`
}

function toHexText(address: string): Hex {
  return `0x${address.slice(2)}`
}

/** Bytes with their length before them. Digits without `0x`. */
export function encodeBytes(data: Hex): string {
  const digits = data.slice(2)
  return `${encodeSize(digits.length / 2)}${digits}${zeros.slice(digits.length % 64 || 64)}`
}

const zeros = '0'.repeat(64)
// Offsets and lengths stand in the last four bytes of their word: beyond those is more than a node would take or send.
const high = zeros.slice(8)
const farthest = 2 ** 31
// That a call of an aggregate may fail by itself, and where its data begins.
const mayFail = `${encodeWord(1n)}${encodeWord(96n)}`

function readNumber(body: string, at: number): number | undefined {
  const word = body.slice(at * 2, at * 2 + 64)
  if (word.length !== 64) return undefined
  const value = word.startsWith(high) ? Number.parseInt(word.slice(56), 16) : farthest
  return value < farthest ? value : undefined
}

function readBytes(body: string, at: number): Hex | undefined {
  const length = readNumber(body, at)
  if (length === undefined) return undefined
  const digits = body.slice(at * 2 + 64, at * 2 + 64 + length * 2)
  return digits.length === length * 2 ? `0x${digits}` : undefined
}
