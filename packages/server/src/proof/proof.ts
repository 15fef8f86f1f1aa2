import { type Claim, type Outcome, type Sighting, sameAddress, settledByAnother } from '@flow402x/core'
import { givenUp } from '../engine/claim.ts'
import type { Engine, Served } from '../engine/server.ts'

/** What is known of a settlement, and from whom. */
export type Finding = {
  readonly outcome: Outcome
  /** On whose word alone it stands; nothing where the chain was seen, or nobody can look. */
  readonly vouchedBy?: string
  /** A transaction settled it that this server's own facilitator did not send for it (M1). */
  readonly foreign?: boolean
  /** Where in its transaction the log stands that paid. */
  readonly logIndex?: number
  /** Nothing was ever sent, nor can it be any more under this claim: the same payment may be claimed again. */
  readonly reopen?: boolean
}

const neverSent = 'settlement_never_sent'

/** What a facilitator's answer to `settle` is worth: believed as far as trust goes, and beyond that looked up (M5, M13). */
export async function judge(engine: Engine, { claim, served, answer }: Asked & { readonly answer: Outcome }): Promise<Finding> {
  if (answer.status === 'pending') return { outcome: answer }
  if (answer.status === 'notSettled') return doubt(engine, { claim, served, answer })
  if (agrees(answer, claim) && (await engine.trust.believe(served, claim))) return { outcome: answer, ...wordOf(served) }
  const { transaction } = answer
  const seen = await lookFor(engine, { claim, served, transaction, patience: lookPatience })
  if (seen?.status === 'settled') return { ...proven(seen), foreign: !sameAddress(seen.transaction, transaction) }
  const { url } = served.facilitator
  if (url !== undefined && (seen?.denied === true || seen?.status === 'notSettled')) engine.trust.lied(url, claim)
  if (seen?.status === 'notSettled') return { outcome: { ...seen, reason: lie }, ...wordOf(served) }
  return { outcome: { status: 'pending', network: networkOf(claim), transaction, payer: claim.payer }, ...wordOf(served) }
}

/**
 * What became of a claim that was being settled before: its facilitator's own books first, then the chain. A refusal that the chain
 * does not prove is none before the payment is dead (M5).
 */
export async function prove(engine: Engine, asked: Asked): Promise<Finding> {
  const { claim, served } = asked
  if (served.byChain === true) return witness(engine, asked)
  const known = claim.outcome?.transaction
  const { facilitator } = served
  if (facilitator.status !== undefined && served.tells && !engine.trust.isBroken(served)) {
    const word = await facilitator.status(claim.claimId, { deadAfter: claim.deadAfter }).catch((error: unknown) => {
      engine.emit({ type: 'error', error })
      return 'silent' as const
    })
    const isHome = claim.asked === undefined || claim.asked === nameOf(served)
    if (word === undefined && isHome) {
      const answer = { ...unsettled(claim), reason: neverSent, retry: 'same' } as const
      const finding = await doubt(engine, { claim, served, answer })
      return finding.outcome === answer ? { outcome: answer, reopen: true } : finding
    }
    const isFinal =
      word !== undefined && word !== 'silent' && (word.status !== 'notSettled' || word.retry === 'resign' || givenUp(claim, engine.clock()))
    if (isFinal && word.status !== 'pending') return judge(engine, { ...asked, answer: word })
  }
  const seen = await lookFor(engine, { claim, served, transaction: known })
  if (seen === undefined || seen.status === 'pending') {
    return {
      outcome: { status: 'pending', network: networkOf(claim), payer: claim.payer, ...(known === undefined ? {} : { transaction: known }) },
    }
  }
  if (seen.status === 'settled') return { ...proven(seen), foreign: known === undefined || !sameAddress(seen.transaction, known) }
  // Whoever said that this was settled lied.
  const { vouchedBy = '' } = claim
  return vouchedBy === '' ? { outcome: seen } : { outcome: { ...seen, reason: lie }, vouchedBy }
}

/** What the chain shows of a transfer that its payer made himself: nobody sent it for him, so nobody is foreign to it. */
async function witness(engine: Engine, asked: Asked): Promise<Finding> {
  const seen = await lookFor(engine, asked)
  if (seen?.status === 'settled') return proven(seen)
  if (seen?.status === 'notSettled') return { outcome: seen }
  const { network, payer, transaction } = { network: networkOf(asked.claim), payer: asked.claim.payer, ...seen }
  return { outcome: { status: 'pending', network, payer, ...(transaction === undefined ? {} : { transaction }) } }
}

/** Why a claim ended that a facilitator had called settled and the chain never was: kept as evidence (M13). */
export const lie = 'facilitator_lied'

/** Whether a claim is evidence against the facilitator that vouched for it. */
export function isLie({ outcome, vouchedBy = '' }: Claim): boolean {
  return vouchedBy !== '' && outcome?.status === 'notSettled' && outcome.reason === lie
}

/** What a server looks at: a claim, and who serves its scheme. */
export type Asked = { readonly claim: Claim; readonly served: Served }

type Looking = Asked & { readonly transaction?: string | undefined; readonly patience?: number }

// A node may show a block a moment after the facilitator saw it (H30).
const lookPatience = 3000
const lookPause = 300

/** A look at the chain, where the scheme can; nothing where it cannot or the chain does not answer. */
export async function lookFor(engine: Engine, { claim, served, transaction, patience = 0 }: Looking): Promise<Sighting | undefined> {
  for (let waited = 0; ; waited += lookPause) {
    try {
      const seen = await served.scheme.look?.(claim.submission, transaction === undefined ? {} : { transaction })
      if (seen?.status !== 'pending' || seen.denied === true || waited >= patience) return seen
    } catch (error) {
      engine.emit({ type: 'error', error })
      return undefined
    }
    await new Promise((resolve) => setTimeout(resolve, lookPause))
  }
}

/** A settlement as the chain shows it. */
export function proven(seen: Sighting & { readonly status: 'settled' }): Finding {
  const { logIndex, denied: _, ...outcome } = seen
  return { outcome, ...(logIndex === undefined ? {} : { logIndex }) }
}

/** A refusal is not the chain's own "no": where one can look, it is looked up, now and once more when the payment is dead (M3). */
async function doubt(
  engine: Engine,
  { claim, served, answer }: Asked & { readonly answer: Outcome & { readonly status: 'notSettled' } },
): Promise<Finding> {
  const { transaction, reason } = answer
  const seen = await lookFor(engine, { claim, served, transaction })
  if (seen?.status === 'settled') return { ...proven(seen), foreign: true }
  if (seen?.status === 'notSettled') return { outcome: answer.retry === 'resign' ? answer : { ...answer, retry: 'resign' } }
  if (reason !== settledByAnother) return { outcome: answer, ...wordOf(served) }
  if (served.scheme.look !== undefined || transaction === undefined) {
    return { outcome: { status: 'pending', network: networkOf(claim), payer: claim.payer } }
  }
  const { network, payer = claim.payer } = answer
  return { outcome: { status: 'settled', network, transaction, payer, amount: claim.submission.requirements.amount }, foreign: true }
}

/** On whose word something stands that nobody has looked up and somebody can. */
export function wordOf({ scheme, facilitator }: Served): { readonly vouchedBy?: string } {
  return scheme.look === undefined ? {} : { vouchedBy: nameOf({ facilitator }) }
}

/** By what a facilitator is known in claims, also to a later server that may have another. */
export function nameOf({ facilitator }: Pick<Served, 'facilitator'>): string {
  return facilitator.url ?? 'this process'
}

/** Why money that arrived buys nothing, and is to be given back (M24); nothing where it buys what was asked. */
export function owedFor(outcome: Outcome | undefined): string | undefined {
  const owed = outcome?.status === 'settled' ? outcome.extra?.owed : undefined
  return typeof owed === 'string' ? owed : undefined
}

function agrees(answer: Outcome & { readonly status: 'settled' }, { payer, submission: { requirements } }: Claim): boolean {
  const { amount = requirements.amount, network, transaction } = answer
  const isHis = answer.payer === undefined || answer.payer === '' || sameAddress(answer.payer, payer)
  return (
    isHis && (amount === requirements.amount || owedFor(answer) !== undefined) && network === requirements.network && transaction !== ''
  )
}

function unsettled({ payer, deadAfter, submission }: Claim) {
  return { status: 'notSettled', network: submission.requirements.network, payer, deadAfter } as const
}

function networkOf({ submission }: Claim): string {
  return submission.requirements.network
}
