import * as z from 'zod/mini'

/** How what was read is found again: by the members that tell most of it apart; and of how much is known at a time. */
export type RememberedOptions = { readonly members: readonly string[]; readonly most: number }

/**
 * A schema for JSON that comes again and again: what equals something that was read before is that same value, and is not judged anew.
 * It belongs to all who read it, and is frozen. What nobody writes who means it, by its length or depth, is judged each time.
 */
export function remembered<Value extends object>(schema: z.ZodMiniType<Value>, { members, most }: RememberedOptions): z.ZodMiniType<Value> {
  const known = new Map<string, { readonly json: unknown; readonly value: Value }>()
  return z.transform((json: unknown, payload) => {
    let name = ''
    if (isObject(json)) for (const member of members) name += `${textOf(json[member])} `
    const before = known.get(name)
    if (before !== undefined && isSame(json, before.json)) return before.value
    const { data: value, error } = z.safeParse(schema, json)
    if (value === undefined) {
      for (const issue of error?.issues ?? []) payload.issues.push({ ...issue, code: 'custom', input: json })
      return z.NEVER
    }
    if (roomBeside(json, mostLetters) < 0) return value
    const [oldest] = known.keys()
    if (known.size >= most && before === undefined && oldest !== undefined) known.delete(oldest)
    known.set(name, { json, value: frozen(value) })
    return value
  })
}

// What is kept of a peer, who may send more each time, and so deep that a comparison would overflow the stack.
const mostLetters = 4096
const deepest = 8

/** How many of so many letters are left beside a value of `JSON.parse`; less than none where it is too long or too deep to be kept. */
function roomBeside(json: unknown, room: number, depth = deepest): number {
  if (!isObject(json)) return room - textOf(json).length - 1
  let left = depth === 0 ? -1 : room - 1
  for (const key in json) {
    if (left < 0) break
    left = roomBeside(json[key], left - key.length, depth - 1)
  }
  return left
}

/** A text as it is: an object of a peer's has a `toString` of his own. */
function textOf(json: unknown): string {
  return typeof json === 'string' ? json : ''
}

/** Whether two values of `JSON.parse` are written alike, but for the order of members. */
function isSame(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (!isObject(one) || !isObject(other) || Array.isArray(one) !== Array.isArray(other)) return false
  let missing = 0
  for (const key in one) {
    if (!Object.hasOwn(other, key) || !isSame(one[key], other[key])) return false
    missing += 1
  }
  for (const _ in other) missing -= 1
  return missing === 0
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

function frozen<Value extends object>(value: Value): Value {
  for (const member of Object.values(value)) if (isObject(member)) frozen(member)
  return Object.freeze(value)
}
