import type { ViewGrant, ViewKey, ViewStore } from '../store/views.ts'

// No operation awaits before it is done, so each is atomic in its process.

/** Grants of views in the memory of one process. */
export function memoryViews(): ViewStore {
  const grants = new Map<string, ViewGrant>()
  return {
    async find(key) {
      return grants.get(nameOf(key))
    },
    async put(next) {
      const name = nameOf(next)
      if ((grants.get(name)?.epoch ?? 0) !== next.epoch - 1) return false
      grants.set(name, next)
      return true
    },
    async purge(before) {
      const old = [...grants.values()].filter(({ expires }) => expires < before)
      for (const grant of old) grants.delete(nameOf(grant))
      return old.length
    },
  }
}

function nameOf({ resource, viewer }: ViewKey): string {
  return JSON.stringify([resource, viewer])
}
