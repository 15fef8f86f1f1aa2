import * as z from 'zod/mini'

/**
 * A pass that was paid for. It opens `resource`, a path of `origin` (all below it, where that ends with a slash), until `until` (Unix ms).
 * `cookie` names the one in which it goes, where it goes in no header; `proves`: it is taken with a proof of who paid alone.
 */
export type KeptPass = z.infer<typeof KeptPass>
const KeptPass = z.readonly(
  z.strictObject({
    origin: z.string(),
    resource: z.string(),
    pass: z.string(),
    until: z.number(),
    cookie: z.optional(z.string()),
    proves: z.optional(z.boolean()),
  }),
)

/** Where passes are kept: whoever reads them has what they open. */
export interface PassStore {
  /** Those of an origin, whatever they open. */
  list(origin: string): Promise<readonly KeptPass[]>
  /** Keeps a pass in the place of one for the same. */
  keep(pass: KeptPass): Promise<void>
  drop(pass: Pick<KeptPass, 'origin' | 'resource'>): Promise<void>
}

/** What keeps texts by name: `localStorage`, `sessionStorage`, or anything that works like them. */
export type TextStorage = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>

// Passes of one origin.
const mostKept = 64

/** Passes that outlive a page: a text for each origin. Two pages that keep one at once may lose one, which is paid once more then. */
export function storedPasses(storage: TextStorage): PassStore {
  const nameOf = (origin: string): string => `flow402x passes ${origin}`
  const kept = (origin: string): readonly KeptPass[] => {
    const text = storage.getItem(nameOf(origin))
    return text === null ? [] : readPasses(text).filter((pass) => pass.origin === origin)
  }
  const others = ({ origin, resource }: Pick<KeptPass, 'origin' | 'resource'>) => kept(origin).filter((pass) => pass.resource !== resource)
  const write = (origin: string, passes: readonly KeptPass[]): void => {
    if (passes.length === 0) storage.removeItem(nameOf(origin))
    else storage.setItem(nameOf(origin), JSON.stringify(passes.slice(-mostKept)))
  }
  return {
    list: async (origin) => kept(origin),
    keep: async (pass) => write(pass.origin, [...others(pass), pass]),
    drop: async (pass) => write(pass.origin, others(pass)),
  }
}

/** Passes in the memory of this process. */
export function memoryPasses(): PassStore {
  const texts = new Map<string, string>()
  return storedPasses({
    getItem: (name) => texts.get(name) ?? null,
    setItem: (name, text) => void texts.set(name, text),
    removeItem: (name) => void texts.delete(name),
  })
}

function readPasses(text: string): readonly KeptPass[] {
  try {
    return z.safeParse(z.array(KeptPass), JSON.parse(text)).data ?? []
  } catch {
    return []
  }
}
