import { randomUUID } from 'node:crypto'

const half = 65_536

/** Goods in two pieces, other ones at each run of the handler. */
export function makeGoods(): readonly [string, string] {
  const id = randomUUID()
  return [`${id}:`.padEnd(half, '.'), `:${id}`.padStart(half, '.')]
}

/** Whether these are goods, and all of them. */
export function areWhole(text: string): boolean {
  return text.length === 2 * half && text.slice(0, 36) === text.slice(-36)
}

/** Every purchase has a price of its own, to the atomic unit: `/goods/7` costs $0.010007. */
export function priceOf(url: string): string {
  const [number = '0'] = /\d+$/.exec(new URL(url).pathname) ?? []
  return `$0.01${number.padStart(4, '0')}`
}
