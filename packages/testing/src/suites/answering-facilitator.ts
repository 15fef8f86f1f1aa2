import { claimStatusExtension, defineErrors, type Facilitator, type Outcome, type ServerScheme, type Submission } from '@flow402x/core'

/** How the next settlements go. */
export type SettleAnswer = 'ok' | 'refused' | 'throws' | 'pending'

/** A facilitator that settles as it is told and remembers what it was asked. */
export type AnsweringFacilitator = Facilitator & {
  answer: SettleAnswer
  /** The claim ids and transactions of every settlement asked for. */
  readonly settled: { readonly claimId: string | undefined; readonly transaction: string }[]
  readonly verified: Submission[]
  /** The claims whose status was asked for. */
  readonly looked: string[]
  /** What every payer holds, where it tells. */
  funds?: bigint
}

/** A small real facilitator for suites that are about servers: it keeps the contract and moves no money. */
export function answeringFacilitator(scheme: Pick<ServerScheme, 'scheme' | 'network'>): AnsweringFacilitator {
  const settled: AnsweringFacilitator['settled'] = []
  const verified: Submission[] = []
  const looked: string[] = []
  const settlement = (transaction: string): Outcome => {
    const { network } = scheme
    if (facilitator.answer === 'throws') throw suiteErrors('facilitator/unreachable', {})
    if (facilitator.answer === 'pending') return { status: 'pending', network, transaction }
    if (facilitator.answer === 'refused') return { status: 'notSettled', network, reason: 'insufficient_funds', retry: 'never' }
    return { status: 'settled', network, transaction }
  }
  const facilitator: AnsweringFacilitator = {
    answer: 'ok',
    settled,
    verified,
    looked,
    supported: async () => ({
      kinds: [{ x402Version: 2, scheme: scheme.scheme, network: scheme.network }],
      extensions: [claimStatusExtension],
    }),
    async verify(submission) {
      verified.push(submission)
      return { valid: true, payer: '', ...(facilitator.funds === undefined ? {} : { funds: facilitator.funds }) }
    },
    async settle(_, { claimId } = {}) {
      const transaction = `0x${(settled.length + 1).toString(16).padStart(64, '0')}`
      settled.push({ claimId, transaction })
      return settlement(transaction)
    },
    async status(claimId) {
      looked.push(claimId)
      const known = settled.find((one) => one.claimId === claimId)
      return known && settlement(known.transaction)
    },
  }
  return facilitator
}

const suiteErrors = defineErrors({
  'facilitator/unreachable': {
    status: 502,
    phase: 'settle',
    moneyMoved: 'unknown',
    retry: 'same',
    message: (_: Record<never, never>) => 'The facilitator did not answer.',
  },
})
