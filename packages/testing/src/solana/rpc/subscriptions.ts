import type { MaybeEncodedAccount } from '@solana/kit'
import * as z from 'zod/mini'
import { writeAccount } from './account-methods.ts'
import { type Chain, inContext, method } from './method.ts'
import { accountConfigSchema, addressSchema, configSchema, signatureSchema } from './parameters.ts'

/** The subscriptions of one connection. */
export type Subscriptions = {
  /** Answers the methods that begin and end subscriptions; undefined for any other. */
  call(request: { readonly method: string; readonly params?: unknown }): unknown
  /** Tells what is already known, once the answer that names the subscription was sent. */
  flush(): void
  end(): void
}

/** Looks at the chain and tells what is new; true when nothing more will ever be. */
type Watch = (tell: (result: unknown) => void) => boolean
type Opening = (chain: Chain, params: unknown) => Watch
type Subscription = { readonly id: number; readonly notification: string; readonly watch: Watch }

const openings: Readonly<Record<string, Opening>> = {
  signatureSubscribe: method(
    z.tuple([signatureSchema, configSchema({ enableReceivedNotification: z.nullish(z.boolean()) })]),
    (chain, [signature, config]): Watch => {
      const commitment = config?.commitment ?? 'finalized'
      let announce = config?.enableReceivedNotification === true
      return (tell) => {
        const told = (value: unknown) => tell(inContext(chain, commitment, value))
        if (announce && chain.bank.history.get(signature, 'processed') !== undefined) {
          announce = false
          told('receivedSignature')
        }
        const entry = chain.bank.history.get(signature, commitment)
        if (entry !== undefined) told({ err: entry.failure })
        return entry !== undefined
      }
    },
  ),
  accountSubscribe: method(z.tuple([addressSchema, accountConfigSchema]), (chain, [address, config]): Watch => {
    const commitment = config?.commitment ?? 'finalized'
    let known = chain.bank.account(address, commitment)
    return (tell) => {
      const account = chain.bank.account(address, commitment)
      if (!isSame(account, known)) tell(inContext(chain, commitment, writeAccount(account, { chain, commitment, config })))
      known = account
      return false
    }
  }),
  slotSubscribe: method(z.union([z.tuple([]), z.null()]), ({ slots }): Watch => {
    let known = slots.slot('processed')
    return (tell) => {
      const slot = slots.slot('processed')
      if (slot !== known) tell({ slot, parent: slot - 1n, root: slots.slot('finalized') })
      known = slot
      return false
    }
  }),
}

const closings = ['signatureUnsubscribe', 'accountUnsubscribe', 'slotUnsubscribe']
const closingSchema = z.tuple([z.number()])

/** Begins the subscriptions of a connection; `send` gets what there is to tell. */
export function createSubscriptions(chain: Chain, send: (notification: unknown) => void): Subscriptions {
  const open = new Map<number, Subscription>()
  let last = 0
  const look = (): void => {
    for (const { id, notification, watch } of open.values()) {
      const done = watch((result) => send({ jsonrpc: '2.0', method: notification, params: { result, subscription: id } }))
      if (done) open.delete(id)
    }
  }
  const ends = [chain.slots.onStep(look), chain.bank.onWrite(look)]
  return {
    call({ method, params }) {
      if (closings.includes(method)) return open.delete(closingSchema.safeParse(params).data?.[0] ?? 0)
      const opening = Object.hasOwn(openings, method) ? openings[method] : undefined
      if (opening === undefined) return undefined
      last += 1
      open.set(last, { id: last, notification: method.replace('Subscribe', 'Notification'), watch: opening(chain, params) })
      return last
    },
    flush: look,
    end() {
      for (const end of ends) end()
      open.clear()
    },
  }
}

function isSame(one: MaybeEncodedAccount, other: MaybeEncodedAccount): boolean {
  if (!one.exists || !other.exists) return one.exists === other.exists
  return one.lamports === other.lamports && one.programAddress === other.programAddress && Buffer.compare(one.data, other.data) === 0
}
