import * as z from 'zod/mini'

/** How what was read is found again: by the members that tell most of it apart; and of how much is known at a time. */
export type RememberedOptions = { readonly members: readonly string[]; readonly most: number }

/**
 * A schema for JSON that comes again and again: what equals something that was read before is that same value, and is not judged anew.
 * It belongs to all who read it, and is frozen.
 */
export function remembered<Value extends object>(schema: z.ZodMiniType<Value>, { members, most }: RememberedOptions): z.ZodMiniType<Value> {
  const known = new Map<string, { readonly json: unknown; readonly value: Value }>()
  return z.transform((json: unknown, payload) => {
    let name = ''
    if (isObject(json)) for (const member of members) name += `${String(json[member])} `
    const before = known.get(name)
    if (before !== undefined && isSame(json, before.json)) return before.value
    const { data: value, error } = z.safeParse(schema, json)
    if (value === undefined) {
      for (const issue of error?.issues ?? []) payload.issues.push({ ...issue, code: 'custom', input: json })
      return z.NEVER
    }
    const [oldest] = known.keys()
    if (known.size >= most && before === undefined && oldest !== undefined) known.delete(oldest)
    known.set(name, { json, value: frozen(value) })
    return value
  })
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
