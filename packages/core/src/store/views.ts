/** What is seen, and by whom: `resource` with its origin, `viewer` the account that paid (CAIP-10), or as its passes name it. */
export type ViewKey = { readonly resource: string; readonly viewer: string }

/** One purchase of views: `id` is the payment's, `views` how many it bought (any number where it is not told) up to and with `until` (Unix ms). */
export type ViewPurchase = { readonly id: string; readonly views?: number; readonly used: number; readonly until: number }

/**
 * All views of one viewer on one resource. The view that was begun last lasts until `openUntil`, the newest proof that was taken is of
 * `provenAt`, and after `expires` nothing of it is needed (all Unix ms). `epoch` is raised by every change.
 */
export type ViewGrant = ViewKey & {
  readonly epoch: number
  readonly purchases: readonly ViewPurchase[]
  readonly openUntil: number
  readonly provenAt: number
  readonly expires: number
}

/** Who bought which view. Every operation is one atomic statement. */
export interface ViewStore {
  find(key: ViewKey): Promise<ViewGrant | undefined>
  /** Puts a grant in the place of the one an epoch before it, or where there is none as the first; `false` where somebody was faster. */
  put(next: ViewGrant): Promise<boolean>
  /** Forgets grants that expired before `before` (Unix ms), and says how many. */
  purge(before: number): Promise<number>
}
