/** How answers to GET are kept: for `ttlMs` milliseconds, at most `most` of them (100 unless told), each up to 1 MiB. */
export type CacheOptions = { readonly ttlMs: number; readonly most?: number; readonly now?: () => number }

type Copy = () => Response
type Kept = { readonly until: number; readonly copy: Promise<Copy | undefined> }

/** Gives the answer to what `key` names, got once for a while: who asks for the same meanwhile has a copy, and nobody pays twice for it. */
export type Cache = (key: string, get: () => Promise<Response>) => Promise<Response>

const largest = 1024 * 1024

/** Keeps whole answers that succeeded, as far as their server lets them be kept; what streams without a length passes by. */
export function responseCache({ ttlMs, most = 100, now = Date.now }: CacheOptions): Cache {
  const kept = new Map<string, Kept>()
  return async (key, get) => {
    const known = kept.get(key)
    const copied = known !== undefined && now() < known.until ? await known.copy : undefined
    if (copied !== undefined) return copied()
    const answer = get()
    const copy = answer.then(copyOf)
    const own = { until: now() + ttlMs, copy }
    kept.delete(key)
    kept.set(key, own)
    const [oldest] = kept.keys()
    if (kept.size > most && oldest !== undefined) kept.delete(oldest)
    const forget = () => {
      if (kept.get(key) === own) kept.delete(key)
    }
    copy.then((made) => made ?? forget(), forget)
    const made = await copy
    return made === undefined ? await answer : made()
  }
}

async function copyOf(response: Response): Promise<Copy | undefined> {
  const { status, statusText, headers } = response
  const length = Number(headers.get('content-length') ?? Number.NaN)
  if (!response.ok || !(length <= largest) || /no-store|no-cache/i.test(headers.get('cache-control') ?? '')) return undefined
  const body = await response.arrayBuffer()
  const whole = status === 204 ? null : body
  return () => new Response(whole, { status, statusText, headers })
}
