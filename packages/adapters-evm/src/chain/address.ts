import * as z from 'zod/mini'

/** 20 bytes of hex. */
export const addressSchema = z.templateLiteral(['0x', z.string()]).check(z.regex(/^0x[0-9a-fA-F]{40}$/))

/** Whether text is an EVM address: 0x and 20 bytes of hex. */
export function isAddress(text: string): text is `0x${string}` {
  return z.safeParse(addressSchema, text).success
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
