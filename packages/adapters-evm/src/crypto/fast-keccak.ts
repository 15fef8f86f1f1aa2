import { keccak, setKeccak, toHex } from './bytes.ts'

// The permutation is written out here as WebAssembly, which has the 64-bit words that JavaScript lacks: many times as fast.
// FIPS 202 §3.2 says what each step does, and in which order.

let isFast: boolean | undefined

/** Lets keccak256 be WebAssembly in this process, where that runs and gives the hashes that plain JavaScript gives; says whether it is. */
export function hastenKeccak(): boolean {
  isFast ??= replaceKeccak()
  return isFast
}

function replaceKeccak(): boolean {
  try {
    const fast = sponge(permutation())
    const samples = [0, 1, 66, 135, 136, 137, 300].map((length) => Uint8Array.from({ length }, (_, index) => index * 7 + length))
    if (!samples.every((sample) => toHex(fast(sample)) === toHex(keccak(sample)))) return false
    setKeccak(fast)
    return true
  } catch {
    // A runtime without WebAssembly, or one that may not compile any.
    return false
  }
}

type Permutation = { readonly memory: ArrayBuffer; readonly permute: () => void }

const rate = 136

function sponge({ memory, permute }: Permutation): (bytes: Uint8Array) => Uint8Array {
  const state = new Uint8Array(memory, 0, 200)
  const absorb = (bytes: Uint8Array, from: number, to: number) => {
    // No index is outside: `to` is at most the length, and a block at most the rate.
    for (let at = from; at < to; at += 1) state[at - from] = (state[at - from] as number) ^ (bytes[at] as number)
  }
  return (bytes) => {
    state.fill(0)
    let from = 0
    for (; bytes.length - from >= rate; from += rate) {
      absorb(bytes, from, from + rate)
      permute()
    }
    absorb(bytes, from, bytes.length)
    const end = bytes.length - from
    // Both lie within the state; where they are one byte it has both bits.
    state[end] = (state[end] as number) ^ 0x01
    state[rate - 1] = (state[rate - 1] as number) ^ 0x80
    permute()
    return state.slice(0, 32)
  }
}

// Where the round constants lie in memory, behind the state.
const constantsAt = 256
const rounds = 24

function permutation(): Permutation {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(moduleBytes())))
  // `moduleBytes` exports these two, of these types.
  const { m, f } = exports as { readonly m: WebAssembly.Memory; readonly f: () => void }
  new BigUint64Array(m.buffer, constantsAt, rounds).set(roundConstants())
  return { memory: m.buffer, permute: f }
}

function roundConstants(): bigint[] {
  let register = 1
  return Array.from({ length: rounds }, () => {
    let constant = 0n
    for (let bit = 0; bit < 7; bit += 1) {
      if (register & 1) constant |= 1n << ((1n << BigInt(bit)) - 1n)
      register = (register << 1) ^ ((register >> 7) * 0x171)
    }
    return constant
  })
}

const [i32, i64] = [0x7f, 0x7e]
const [xor, and, rotl] = [0x85, 0x83, 0x89]
const get = (local: number) => [0x20, local]
const set = (local: number) => [0x21, local]
const word = (value: number) => [0x42, ...signed(value)]

/** A module that exports a page of memory as `m`, and as `f` the permutation of the 25 words at its begin. */
function moduleBytes(): number[] {
  const name = (text: string) => [1, text.charCodeAt(0)]
  const section = (id: number, content: readonly number[]) => [id, ...unsigned(content.length), ...content]
  const body = [2, 31, i64, 1, i32, ...permutationCode(), 0x0b]
  return [
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 0, 0]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, 1]),
    ...section(7, [2, ...name('m'), 2, 0, ...name('f'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]
}

// Locals: the 25 words of the state, five columns, one more word, and the address of the round's constant.
const [columns, spare, round] = [25, 30, 31]
const each = <Item>(count: number, code: (index: number) => readonly Item[]) =>
  Array.from({ length: count }, (_, index) => code(index)).flat()

function permutationCode(): number[] {
  const theta = [
    ...each(5, (x) => [...get(x), ...each(4, (y) => [...get(x + 5 * y + 5), xor]), ...set(columns + x)]),
    ...each(5, (x) => [
      ...[...get(columns + ((x + 4) % 5)), ...get(columns + ((x + 1) % 5)), ...word(1), rotl, xor, ...set(spare)],
      ...each(5, (y) => [...get(x + 5 * y), ...get(spare), xor, ...set(x + 5 * y)]),
    ]),
  ]
  // Each word is turned and goes to where the next one was: a walk that begins and ends at word 1.
  let [x, y] = [1, 0]
  const rhoAndPi = [
    ...[...get(1), ...set(spare)],
    ...each(24, (step) => {
      ;[x, y] = [y, (2 * x + 3 * y) % 5]
      const at = x + 5 * y
      return [...get(spare), ...word((((step + 1) * (step + 2)) / 2) % 64), rotl, ...get(at), ...set(spare), ...set(at)]
    }),
  ]
  const chi = each(5, (row) => {
    // The first two are wanted again when they have changed.
    const before = (column: number) => get(column % 5 < 2 ? columns + (column % 5) : 5 * row + (column % 5))
    return [
      ...[...get(5 * row), ...set(columns), ...get(5 * row + 1), ...set(columns + 1)],
      ...each(5, (column) => {
        const [own, next, after] = [before(column), before(column + 1), before(column + 2)]
        return [...own, ...next, ...word(-1), xor, ...after, and, xor, ...set(5 * row + column)]
      }),
    ]
  })
  const iota = [...get(0), ...get(round), 0x29, 3, 0, xor, ...set(0)]
  const address = (value: number) => [0x41, ...signed(value)]
  return [
    ...each(25, (at) => [...address(0), 0x29, 3, ...unsigned(8 * at), ...set(at)]),
    ...[...address(constantsAt), ...set(round), 0x03, 0x40],
    ...[...theta, ...rhoAndPi, ...chi, ...iota],
    ...[...get(round), ...address(8), 0x6a, 0x22, round, ...address(constantsAt + 8 * rounds), 0x49, 0x0d, 0, 0x0b],
    ...each(25, (at) => [...address(0), ...get(at), 0x37, 3, ...unsigned(8 * at)]),
  ]
}

/** Numbers as WebAssembly writes them (LEB128). */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >> 7)]
}

function signed(value: number): number[] {
  return value >= -0x40 && value < 0x40 ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)]
}
