import type { Store } from '@flow402x/core'
import { sweepSeldom } from '@flow402x/core/memory'
import type { ViewGrant, ViewKey } from '@flow402x/core/stream'
import { engineErrors } from '../engine/errors.ts'
import { proven, seen, sold } from './grant.ts'
import { proofText, type ViewProof } from './proof.ts'

/** Says whether a wallet signed a text: `evmPaymentWitness` and `solanaPaymentWitness` of the adapters do. */
export interface ViewWitness {
  readonly network: string
  signed(text: string, by: { readonly address: string; readonly signature: string }): Promise<boolean>
}

/** How views are kept: written down for all instances, so that each purchase gives the views that were paid. */
export type KeptViews = {
  readonly store: Pick<Store, 'views'>
  /** The seller's own origin, as viewers ask for it: `https://shop.example`. */
  readonly origin: string
  /** How many views one purchase gives; as many as its viewer likes, for `ttl`, unless told. */
  readonly views?: number | undefined
  /** For how many seconds one view lasts, however many requests it takes: three hours unless told. */
  readonly lasts?: number | undefined
  /**
   * Asks for a proof with each request that its bearer is the wallet that paid: then no cookie opens anything, and a copy of a pass or of
   * a proof opens nothing. One for each network that is paid on.
   */
  readonly wallets?: readonly ViewWitness[] | undefined
}

const film = 10_800
// So far the clock of a viewer may be from ours.
const skew = 60_000
const mostTries = 32

type Asked = { readonly resource: string; readonly sid: string }

/** Views as they are written down. */
export interface ViewBooks {
  /** Writes a purchase down, the first view of which is its answer. Errors: `stream/no-purchase`, `stream/not-ready`. */
  sell(sale: Asked & { readonly purchase: string | undefined }): Promise<void>
  /** Whether he may see it: a proof is judged before it is written down, and counts once. Errors: `stream/not-ready`. */
  open(shown: Asked & { readonly proof: ViewProof | undefined }): Promise<boolean>
}

/** The books of views: each change is a compare-and-set of one viewer's row for one resource. */
export function createBooks(kept: KeptViews, { ttl, clock }: { readonly ttl: number; readonly clock: () => number }): ViewBooks {
  const { store, origin, views, wallets, lasts: seconds = film } = kept
  const lasts = seconds * 1000
  const keyOf = ({ resource, sid }: Asked): ViewKey => ({ resource: `${origin}${resource}`, viewer: sid })
  const forget = sweepSeldom((now) => store.views.purge(now - skew))

  /** Changes a grant, again where others changed it meanwhile; one that stays as it is is not written. */
  async function change(key: ViewKey, step: (grant: ViewGrant | undefined) => ViewGrant | undefined): Promise<ViewGrant | undefined> {
    for (let tries = 0; tries < mostTries; tries += 1) {
      const standing = await store.views.find(key)
      const next = step(standing)
      if (next === undefined || next === standing) return next
      if (await store.views.put({ ...next, epoch: (standing?.epoch ?? 0) + 1 })) return next
    }
    throw engineErrors('stream/not-ready', {})
  }
  async function isHis(key: ViewKey, proof: ViewProof): Promise<boolean> {
    const { viewer, signature } = proof
    const wallet = wallets?.find(({ network }) => viewer.startsWith(`${network}:`))
    if (wallet === undefined || (await short(viewer)) !== key.viewer) return false
    return wallet.signed(proofText(key.resource, proof), { address: viewer.slice(wallet.network.length + 1), signature })
  }
  return {
    async sell({ purchase, ...asked }) {
      if (purchase === undefined) throw engineErrors('stream/no-purchase', {})
      const now = clock()
      await forget(now)
      const key = keyOf(asked)
      await change(key, (grant) =>
        sold(grant, key, { id: purchase, ...(views !== undefined && { views }), until: now + ttl * 1000, now, lasts }),
      )
    },
    async open({ proof, ...asked }) {
      const key = keyOf(asked)
      if (wallets === undefined)
        return views === undefined || (await change(key, (grant) => grant && seen(grant, { now: clock(), lasts }))) !== undefined
      if (proof === undefined) return false
      const step = (grant: ViewGrant | undefined): ViewGrant | undefined => {
        const now = clock()
        const known = grant && proven(grant, { at: proof.at, now, skew })
        return known && seen(known, { now, lasts })
      }
      // What would be refused in any case costs no look at a signature.
      if (step(await store.views.find(key)) === undefined || !(await isHis(key, proof))) return false
      return (await change(key, step)) !== undefined
    },
  }
}

/** Sixteen bytes of a SHA-256, by which nobody reads who or what it was. */
export async function short(text: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)))
  return Array.from(hash.subarray(0, 16), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
