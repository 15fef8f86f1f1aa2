// What changes together shares a slot of a cluster, and a store is spread over this many. Another number would lose what there is.
/** How many slots a store is spread over. */
export const slots = 64

/** All of them. */
export const allSlots: readonly number[] = Array.from({ length: slots }, (_, slot) => slot)

/** How the keys of a slot begin. */
export function slotTag(prefix: string, slot: number): string {
  return `{${prefix}-${slot}}:`
}

/** The slot of a text, by FNV-1a: even and the same for ever. */
export function slotOf(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return hash % slots
}
