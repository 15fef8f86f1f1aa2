import { defineErrors, type Facilitator, type Outcome, type ServerScheme, type Submission } from '@flow402x/core'

/** How the next settlements go. */
export type SettleAnswer = 'ok' | 'refused' | 'throws' | 'pending'

/** A facilitator that settles as it is told and remembers what it was asked. */
export type AnsweringFacilitator = Facilitator & {
  answer: SettleAnswer
  /** The claim ids and transactions of every settlement asked for. */
  readonly settled: { readonly claimId: string | undefined; readonly transaction: string }[]
  readonly verified: Submission[]
}

/** A small real facilitator for suites that are about servers: it keeps the contract and moves no money. */
export function answeringFacilitator(scheme: Pick<ServerScheme, 'scheme' | 'network'>): AnsweringFacilitator {
  const settled: AnsweringFacilitator['settled'] = []
  const verified: Submission[] = []
  const facilitator: AnsweringFacilitator = {
    answer: 'ok',
    settled,
    verified,
    supported: async () => ({ kinds: [{ x402Version: 2, scheme: scheme.scheme, network: scheme.network }] }),
    async verify(submission) {
      verified.push(submission)
      return { valid: true, payer: '' }
    },
    async settle({ requirements: { network } }, { claimId } = {}): Promise<Outcome> {
      const transaction = `0x${(settled.length + 1).toString(16).padStart(64, '0')}`
      settled.push({ claimId, transaction })
      if (facilitator.answer === 'throws') throw suiteErrors('facilitator/unreachable', {})
      if (facilitator.answer === 'pending') return { status: 'pending', network, transaction }
      if (facilitator.answer === 'refused') return { status: 'notSettled', network, reason: 'insufficient_funds', retry: 'never' }
      return { status: 'settled', network, transaction }
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
