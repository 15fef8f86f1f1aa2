import * as z from 'zod/mini'
import { keccak, setKeccak, toHex } from './bytes.ts'
import { optionalModule } from './optional-module.ts'

/** A hasher of `hash-wasm`, used again and again. */
type Hasher = { init(): Hasher; update(bytes: Uint8Array): Hasher; digest(form: 'binary'): Uint8Array }
type Maker = { createKeccak(bits: 256): Promise<Hasher> }

let hastening: Promise<boolean> | undefined

/**
 * Lets keccak256 be WebAssembly in this process from a moment later, where the optional `hash-wasm` is installed and gives the hashes
 * that plain JavaScript gives; says whether it is.
 */
export function hastenKeccak(): Promise<boolean> {
  hastening ??= replaceKeccak()
  return hastening
}

async function replaceKeccak(): Promise<boolean> {
  const made = optionalModule('hash-wasm')
  if (!isMaker(made)) return false
  try {
    const hasher = await made.createKeccak(256)
    const fast = (bytes: Uint8Array): Uint8Array => hasher.init().update(bytes).digest('binary')
    const samples = [0, 1, 66, 135, 136, 137, 300].map((length) => Uint8Array.from({ length }, (_, index) => index * 7 + length))
    if (!samples.every((sample) => toHex(fast(sample)) === toHex(keccak(sample)))) return false
    setKeccak(fast)
    return true
  } catch {
    // A runtime that may not compile WebAssembly.
    return false
  }
}

function isMaker(module: unknown): module is Maker {
  return z.safeParse(z.looseObject({ createKeccak: z.custom((member) => typeof member === 'function') }), module).success
}
