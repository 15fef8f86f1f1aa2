import type { ViewGrant, ViewKey, ViewPurchase } from '@flow402x/core/stream'

// So many purchases of one viewer are told from new ones; of those that are used up the oldest are forgotten first.
const mostPurchases = 256

/** A purchase of views, the first of which is its own answer's. `until` and `now` in Unix ms, `lasts` in ms. */
export type Sale = Pick<ViewPurchase, 'id' | 'views' | 'until'> & { readonly now: number; readonly lasts: number }

/** The grant with one purchase more; nothing where it has it already, so that a purchase that is told twice is one. */
export function sold(grant: ViewGrant | undefined, key: ViewKey, { now, lasts, ...bought }: Sale): ViewGrant | undefined {
  const standing = grant ?? { ...key, epoch: 0, purchases: [], openUntil: 0, provenAt: 0, expires: 0 }
  if (standing.purchases.some(({ id }) => id === bought.id)) return undefined
  const live = standing.purchases.filter(({ until }) => until >= now)
  const forgotten = live.length < mostPurchases ? undefined : live.find(isUsedUp)
  const purchases = [...live.filter((one) => one !== forgotten), { ...bought, used: 1 }]
  return written(standing, { purchases, openUntil: Math.max(standing.openUntil, now + lasts) })
}

/** The grant once a viewer has come: as it is where his view lasts, with one view less where it begins; nothing where he has none left. */
export function seen(grant: ViewGrant, { now, lasts }: Pick<Sale, 'now' | 'lasts'>): ViewGrant | undefined {
  if (grant.openUntil > now) return grant
  const next = grant.purchases.find((one) => one.until >= now && !isUsedUp(one))
  if (next === undefined) return undefined
  const purchases = grant.purchases.map((one) => (one === next ? { ...one, used: one.used + 1 } : one))
  return written(grant, { purchases, openUntil: now + lasts })
}

/** The grant once a proof was taken: nothing where it is no later than the one before, or further than `skew` from now (ms). */
export function proven(
  grant: ViewGrant,
  { at, now, skew }: { readonly at: number; readonly now: number; readonly skew: number },
): ViewGrant | undefined {
  if (at <= grant.provenAt || Math.abs(at - now) > skew) return undefined
  return written(grant, { provenAt: at })
}

function isUsedUp({ views, used }: ViewPurchase): boolean {
  return views !== undefined && used >= views
}

function written(grant: ViewGrant, change: Partial<Pick<ViewGrant, 'purchases' | 'openUntil' | 'provenAt'>>): ViewGrant {
  const next = { ...grant, ...change }
  return { ...next, expires: next.purchases.reduce((latest, { until }) => Math.max(latest, until), next.openUntil) }
}
