import * as z from 'zod/mini'
import type { Hex } from '../crypto/bytes.ts'

const isHex = /^0x[0-9a-fA-F]*$/

/** Hex with `0x`, of so many bytes where that is told, and else as RPC nodes and contracts give it. */
export function hexText(bytes?: number): z.ZodMiniCustom<Hex, Hex> {
  const isSo = (text: string): boolean => (bytes === undefined || text.length === 2 + 2 * bytes) && isHex.test(text)
  return z.custom<Hex>((text) => typeof text === 'string' && isSo(text))
}

/** The same with whole bytes, at least one and at most so many. */
export function bytesText(most: number): z.ZodMiniCustom<Hex, Hex> {
  const isSo = ({ length }: string): boolean => length > 2 && length % 2 === 0 && length <= 2 + 2 * most
  return z.custom<Hex>((text) => typeof text === 'string' && isSo(text) && isHex.test(text))
}

/** 20 bytes of hex. */
export const addressSchema = hexText(20)

/** Whether text is an EVM address: 0x and 20 bytes of hex. */
export function isAddress(text: string): text is `0x${string}` {
  return /^0x[0-9a-fA-F]{40}$/.test(text)
}

/** Whether text is an address that can be paid: the zero address cannot. */
export function isPayable(text: string): text is `0x${string}` {
  return isAddress(text) && !/^0x0{40}$/.test(text)
}

/** The chain id of a canonical EVM network id, or nothing for another family. */
export function chainIdOf(network: string): bigint | undefined {
  const digits = /^eip155:([1-9]\d{0,31})$/.exec(network)?.[1]
  return digits === undefined ? undefined : BigInt(digits)
}
