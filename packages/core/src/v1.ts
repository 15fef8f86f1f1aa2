// x402 v1 is a codec at the edge and nothing else: what arrives becomes v2 values here, what leaves is made from them here.
import * as z from 'zod/mini'
import type { Submission } from './protocol/facilitator.ts'
import { type HeaderCodec, headerCodec } from './protocol/headers.ts'
import type { Network } from './protocol/network.ts'
import { type PaymentPayload, type PaymentRequired, type PaymentRequirements, paymentPayload } from './protocol/payment.ts'
import { type SettleResponse, type SupportedKind, settleResponse } from './protocol/settlement.ts'

// wire.md §3.3; the v1 packages refuse a whole 402 over one name they do not know, so only what they know is offered to them.
const known: Readonly<Record<string, Network>> = {
  base: 'eip155:8453',
  'base-sepolia': 'eip155:84532',
  avalanche: 'eip155:43114',
  'avalanche-fuji': 'eip155:43113',
  polygon: 'eip155:137',
  'polygon-amoy': 'eip155:80002',
  sei: 'eip155:1329',
  'sei-testnet': 'eip155:1328',
  abstract: 'eip155:2741',
  'abstract-testnet': 'eip155:11124',
  iotex: 'eip155:4689',
  peaq: 'eip155:3338',
  story: 'eip155:1514',
  educhain: 'eip155:41923',
  'skale-base-sepolia': 'eip155:324705682',
  solana: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp',
  'solana-devnet': 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1',
}
const readOnly: Readonly<Record<string, Network>> = {
  ethereum: 'eip155:1',
  sepolia: 'eip155:11155111',
  celo: 'eip155:42220',
  flare: 'eip155:14',
  megaeth: 'eip155:4326',
  monad: 'eip155:143',
  stable: 'eip155:988',
  'stable-testnet': 'eip155:2201',
  'solana-testnet': 'solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z',
}
const networkOf = new Map(Object.entries({ ...known, ...readOnly }))
const nameOf = new Map(Object.entries(known).map(([name, network]) => [network, name]))
const anyNameOf = new Map([...networkOf].map(([name, network]) => [network, name]))

const text = z.nullish(z.string())
const extra = z.nullish(z.looseObject({}))

/** One way to pay as x402 v1 writes it: a network name, the resource inside the entry, `maxAmountRequired` in atomic units. */
export const paymentRequirementsV1 = z.looseObject({
  scheme: z.string().check(z.minLength(1), z.maxLength(64)),
  network: z.string(),
  maxAmountRequired: z.string().check(z.regex(/^\d{1,78}$/)),
  resource: z.string().check(z.minLength(1)),
  description: text,
  mimeType: text,
  payTo: z.string().check(z.minLength(1), z.maxLength(128)),
  maxTimeoutSeconds: z.number().check(z.nonnegative()),
  asset: z.string().check(z.minLength(1), z.maxLength(128)),
  extra,
})

/** One way to pay as x402 v1 writes it: a network name, the resource inside the entry, `maxAmountRequired` in atomic units. */
export type PaymentRequirementsV1 = z.infer<typeof paymentRequirementsV1>

/** The JSON body of a v1 402 (x402 v1 §5). */
export const paymentRequiredV1 = z.looseObject({ x402Version: z.literal(1), error: text, accepts: z.array(paymentRequirementsV1) })

/** The JSON body of a v1 402 (x402 v1 §5). */
export type PaymentRequiredV1 = z.infer<typeof paymentRequiredV1>

/** The content of a v1 `X-PAYMENT`: it names only scheme and network of what it pays. */
export const paymentPayloadV1 = z.looseObject({
  x402Version: z.literal(1),
  scheme: z.string(),
  network: z.string(),
  payload: z.looseObject({}),
})

/** The content of a v1 `X-PAYMENT`: it names only scheme and network of what it pays. */
export type PaymentPayloadV1 = z.infer<typeof paymentPayloadV1>

const eitherPayload = z.discriminatedUnion('x402Version', [paymentPayload, paymentPayloadV1], 'invalid_x402_version')

/** `X-PAYMENT`, client to server: a v1 payload, or a v2 one that some clients put there. */
export const xPaymentHeader: HeaderCodec<PaymentPayload | PaymentPayloadV1> = headerCodec('X-PAYMENT', {
  schema: eitherPayload,
  limit: 8192,
  ascii: true,
})

/** `X-PAYMENT-RESPONSE`, server to client: the receipt with a v1 network name. */
export const xPaymentResponseHeader: HeaderCodec<SettleResponse> = headerCodec('X-PAYMENT-RESPONSE', {
  schema: settleResponse,
  limit: 16_384,
  ascii: true,
  receipt: true,
})

/** The body of `/verify` and `/settle` from a v1 server (x402 v1 §7). */
export const facilitatorRequestV1 = z.looseObject({
  x402Version: z.literal(1),
  paymentPayload: paymentPayloadV1,
  paymentRequirements: paymentRequirementsV1,
})

/**
 * The offers of a 402 as v1 clients read them, or nothing where v1 has no word for any. `prices` are the human prices of
 * `required.accepts`, in the same order.
 */
export function requiredToV1(required: PaymentRequired, prices: readonly string[]): PaymentRequiredV1 | undefined {
  const { url, description, mimeType } = required.resource
  const accepts = required.accepts.flatMap((offer, index): PaymentRequirementsV1[] => {
    const network = nameOf.get(offer.network)
    // A v1 payment names network and scheme alone, so one entry of each network can be told apart.
    if (network === undefined || offerInV1(offer.network, required.accepts) !== offer) return []
    const entry = { network, resource: url, description: description ?? '', mimeType: mimeType ?? '', ...requirementsToV1(offer) }
    return [{ ...entry, price: prices[index] }]
  })
  return accepts.length === 0 ? undefined : { x402Version: 1, error: required.error ?? 'Payment required', accepts }
}

/** A v1 402 as a v2 value; entries on networks unknown to v1 are left out, and nothing is returned when none remains. */
export function requiredFromV1({ accepts, error }: PaymentRequiredV1): PaymentRequired | undefined {
  const offers = accepts.flatMap((entry) => requirementsFromV1(entry) ?? [])
  const [first] = accepts
  if (first === undefined || offers.length === 0) return undefined
  const { resource: url, description, mimeType } = first
  return { x402Version: 2, ...(error == null ? {} : { error }), resource: { url, description, mimeType }, accepts: offers }
}

/** A v1 payment as a v2 value, completed with the one offer of its scheme and network; nothing where there is none. */
export function paymentFromV1(payment: PaymentPayloadV1, offers: readonly PaymentRequirements[]): PaymentPayload | undefined {
  const network = networkOf.get(payment.network)
  const accepted = payment.scheme === 'exact' && network !== undefined ? offerInV1(network, offers) : undefined
  return accepted === undefined ? undefined : { x402Version: 2, accepted, payload: payment.payload }
}

/** A v2 payment as the v1 payload of `X-PAYMENT`; nothing on a network without a v1 name. */
export function paymentToV1({ accepted, payload }: PaymentPayload): PaymentPayloadV1 | undefined {
  const network = anyNameOf.get(accepted.network)
  return network === undefined ? undefined : { x402Version: 1, scheme: accepted.scheme, network, payload }
}

/** A receipt with the v1 name of its network. */
export function receiptToV1(receipt: SettleResponse): SettleResponse {
  return { ...receipt, network: anyNameOf.get(receipt.network) ?? receipt.network }
}

/** A receipt with the CAIP-2 id of its network. */
export function receiptFromV1(receipt: SettleResponse): SettleResponse {
  return { ...receipt, network: networkOf.get(receipt.network) ?? receipt.network }
}

/** The submission in a v1 facilitator request, or nothing where the body is none. */
export function submissionFromV1(body: unknown): Submission | undefined {
  const parsed = z.safeParse(facilitatorRequestV1, body)
  const requirements = parsed.success ? requirementsFromV1(parsed.data.paymentRequirements) : undefined
  const payment = parsed.success && requirements !== undefined ? paymentFromV1(parsed.data.paymentPayload, [requirements]) : undefined
  return requirements === undefined || payment === undefined ? undefined : { payment, requirements }
}

/** The v1 entries of `/supported` that go beside the v2 ones. */
export function supportedInV1(kinds: readonly SupportedKind[]): SupportedKind[] {
  return kinds.flatMap((kind) => {
    const network = nameOf.get(kind.network)
    return network === undefined || kind.scheme !== 'exact' ? [] : [{ ...kind, x402Version: 1, network }]
  })
}

/** The one offer of a network that v1 has words for: `exact`, and on EVM by EIP-3009. */
function offerInV1(network: Network, offers: readonly PaymentRequirements[]): PaymentRequirements | undefined {
  return offers.find((offer) => offer.network === network && offer.scheme === 'exact' && offer.extra?.assetTransferMethod !== 'permit2')
}

function requirementsToV1(offer: PaymentRequirements) {
  const { amount, asset, payTo, maxTimeoutSeconds, scheme, extra: facts } = offer
  return { scheme, maxAmountRequired: amount, payTo, asset, maxTimeoutSeconds, ...(facts == null ? {} : { extra: facts }) }
}

function requirementsFromV1(entry: PaymentRequirementsV1): PaymentRequirements | undefined {
  const network = networkOf.get(entry.network)
  if (network === undefined) return undefined
  const { scheme, maxAmountRequired: amount, asset, payTo, maxTimeoutSeconds } = entry
  return { scheme, network, amount, asset, payTo, maxTimeoutSeconds, ...(entry.extra == null ? {} : { extra: entry.extra }) }
}
