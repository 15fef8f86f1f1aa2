import * as z from 'zod/mini'
import { toBytes, toHex } from './bytes.ts'
import { hastenKeccak } from './fast-keccak.ts'
import { optionalModule } from './optional-module.ts'
import type { Secp256k1 } from './secp256k1.ts'
import { tabledSecp256k1 } from './tabled-secp256k1.ts'

/** The native module's own interface; it throws where it finds no key or signature. */
type Binding = {
  publicKeyCreate(privateKey: Uint8Array, compressed: boolean): Uint8Array
  ecdsaSign(digest: Uint8Array, privateKey: Uint8Array): { readonly signature: Uint8Array; readonly recid: number }
  ecdsaRecover(signature: Uint8Array, recovery: number, digest: Uint8Array, compressed: boolean): Uint8Array
  ecdsaVerify(signature: Uint8Array, digest: Uint8Array, publicKey: Uint8Array): boolean
}

let fastest: Secp256k1 | undefined

/**
 * The fastest curve of this process: libsecp256k1 where its binary loads and passes a known vector, else plain JavaScript. Who asks for
 * it wants a fast hash as well.
 */
export function fastestSecp256k1(): Secp256k1 {
  void hastenKeccak()
  fastest ??= loadNative() ?? tabledSecp256k1
  return fastest
}

function loadNative(): Secp256k1 | undefined {
  try {
    // Only the binding: the module's main file would fall back to a slower curve without saying so.
    const binding = optionalModule('secp256k1/bindings.js')
    if (!isBinding(binding)) return undefined
    const native = wrap(binding)
    return passes(native) ? native : undefined
  } catch {
    // A binary that is not for this machine.
    return undefined
  }
}

function isBinding(module: unknown): module is Binding {
  const call = z.custom((member) => typeof member === 'function')
  return z.safeParse(z.looseObject({ publicKeyCreate: call, ecdsaSign: call, ecdsaRecover: call, ecdsaVerify: call }), module).success
}

function wrap(binding: Binding): Secp256k1 {
  const orNothing = <Value>(make: () => Value) => {
    try {
      return make()
    } catch {
      // The binding throws for a key or point out of range, and for nothing else that reaches it.
      return undefined
    }
  }
  return {
    name: 'native',
    publicKey: (privateKey) => orNothing(() => binding.publicKeyCreate(privateKey, false)),
    sign(digest, privateKey) {
      const { signature, recid } = binding.ecdsaSign(digest, privateKey)
      const whole = new Uint8Array(65)
      whole.set(signature)
      whole[64] = 27 + recid
      return whole
    },
    recover: (digest, signature) =>
      orNothing(() => binding.ecdsaRecover(signature.subarray(0, 64), (signature[64] ?? 0) - 27, digest, false)),
    // A sixth faster, with nothing to be kept but the key.
    often: {
      from: 1,
      most: 4096,
      judgeOf: (publicKey) => (digest, signature) =>
        orNothing(() => binding.ecdsaVerify(signature.subarray(0, 64), digest, publicKey)) === true,
    },
  }
}

// wire.md §20, V2: the first development account over an EIP-3009 digest.
const vector = {
  privateKey: '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80',
  digest: '0x925f00ea9e1189df2371e0c8f218cbdd5776140d9da472a8c7cc6a57f9191a36',
  signature:
    '0xce2966c3fccb19b78025ec464a806a65d3bf9755f72c2451a1b06b30ca074ddd36e247ce7c15ad88c8da6ccbde485de425459cbe54d1941d614b03b5bfefcf941b',
}

function passes(curve: Secp256k1): boolean {
  const digest = toBytes(vector.digest)
  const key = curve.publicKey(toBytes(vector.privateKey))
  const recovered = curve.recover(digest, toBytes(vector.signature))
  if (key === undefined || recovered === undefined || toHex(key) !== toHex(recovered)) return false
  if (toHex(curve.sign(digest, toBytes(vector.privateKey))) !== vector.signature) return false
  if (curve.often?.judgeOf(key)(digest, toBytes(vector.signature)) !== true) return false
  return curve.recover(digest, new Uint8Array(65).fill(0xff, 0, 64).fill(27, 64)) === undefined
}
