import { type Asset, priceInAsset, sameAddress } from '../protocol/asset.ts'
import { formatPrice, fromAtomic } from '../protocol/money.ts'
import type { PaymentRequirements } from '../protocol/payment.ts'
import type { ServerScheme, TransferProof } from '../protocol/scheme.ts'
import { createReferences, type ReferenceOptions } from './reference.ts'
import { deadAfterOf, readTransfer, type TransferChain, type TransferSight, transferKey, transferProof } from './transfer.ts'

/** How a seller takes transfers, whatever the chain. */
export type TransferSellerOptions = ReferenceOptions & {
  /**
   * Takes transfers that carry no reference too, as wallets make them that know nothing of it. A stranger who sees such a transfer may
   * redeem it first.
   */
  readonly unbound?: boolean
}

/** What one chain family adds to it. */
export type TransferSeller = Pick<TransferChain, 'network' | 'spell'> &
  Pick<ServerScheme, 'start'> & {
    readonly asset: Asset
    /** The payee of the scheme or, where it names one, of a route; throws `config/…` for what cannot be paid. */
    payee(payTo?: string): string
    /** How deep a transfer must lie, for its payer to know. */
    readonly confirmations: string
    readonly sight?: TransferSight | undefined
    readonly find?: TransferProof['find']
    /** The fields of the plain challenge; absent where it is not offered. */
    readonly plain?: TransferProof['plain']
  }

/** Is paid by transfers that their payers make themselves (`transfer-proof`). Errors: `config/weak-secret`; from `requirements` those of `priceInAsset`. */
export function transferSeller(seller: TransferSeller, options: TransferSellerOptions): ServerScheme {
  const { network, asset, sight, find, plain, start } = seller
  const references = createReferences(options)
  const isOurs = ({ scheme, network: home, asset: address }: PaymentRequirements): boolean =>
    scheme === transferProof && home === network && sameAddress(address, asset.address)
  const proof: TransferProof = {
    async offer(requirements, { binding, now }) {
      const { amount, payTo, maxTimeoutSeconds } = requirements
      const terms = { binding, network, asset: asset.address, payTo, amount }
      const reference = await references.make(terms, { expiry: now + maxTimeoutSeconds })
      return { ...requirements, extra: { ...requirements.extra, reference } }
    },
    async offered({ payment, requirements }, { binding, moved }) {
      const reference = readTransfer(payment)?.reference ?? ''
      const { payTo } = requirements
      for (const amount of new Set([moved ?? requirements.amount, requirements.amount])) {
        const terms = { binding, network, asset: asset.address, payTo, amount }
        if (await references.knows(reference, terms)) return { ...requirements, amount }
      }
      return undefined
    },
    secret: (payment) => readTransfer(payment)?.reference,
    ...(find === undefined ? {} : { find }),
    ...(plain === undefined ? {} : { plain }),
  }
  return {
    scheme: transferProof,
    network,
    asset,
    // Whatever a route does with other payments: a transfer was made before it is shown.
    flows: ['upfront'],
    ignoredExtra: ['reference'],
    requirements: ({ price, payTo, maxTimeoutSeconds }) => ({
      scheme: transferProof,
      network,
      amount: priceInAsset(price, asset).toString(),
      asset: asset.address,
      payTo: seller.payee(payTo),
      maxTimeoutSeconds,
      extra: { confirmations: seller.confirmations, paymentFlow: 'upfront' },
    }),
    describe: ({ amount }) => formatPrice({ amount: fromAtomic(BigInt(amount), asset.decimals), symbol: asset.currency ?? asset.symbol }),
    key: (payment) => transferKey(payment, seller),
    check({ payment, requirements }, { now }) {
      const reference = readTransfer(payment)?.reference
      if (reference === undefined || !isOurs(requirements)) return { valid: false, reason: 'invalid_payload' }
      if (now > deadAfterOf(reference)) return { valid: false, reason: 'stale_reference', message: stale }
      return { valid: true, payer: '' }
    },
    // Its reference was made for this very request, which is asked before any claim.
    commits: () => true,
    proof,
    ...(start === undefined ? {} : { start }),
    ...(sight ?? {}),
    ...(options.unbound === true ? { warnings: [unboundWarning(network)] } : {}),
  }
}

const stale = 'The challenge that this transfer answers is over for more than a week.'

function unboundWarning(network: string): string {
  return `transfer-proof on ${network} takes transfers that carry no reference: whoever sees such a transfer on the chain may show it before its payer does and be served in his place. Leave \`unbound\` out unless your payers cannot do otherwise.`
}
