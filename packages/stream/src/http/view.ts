import type { PaymentRequirements } from '@flow402x/core'
import { accountOf } from '../access/proof.ts'
import type { Views } from '../access/view.ts'
import { engineErrors } from '../engine/errors.ts'
import { pathOf, problem, type StreamAnswer, type StreamRequest } from '../engine/request.ts'

/** Who paid for a view, as bindings that charge once say it. */
export type ViewPaid = {
  readonly payment: { readonly payer: string; readonly requirements: Pick<PaymentRequirements, 'network'>; readonly purchase?: string }
}

/** Headers of an answer, some of them more than once. */
export type AnswerHeaders = readonly (readonly [name: string, value: string])[]

// Whose it is only he may keep: no cache in between shows it to another.
const seen: AnswerHeaders = [
  ['Cache-Control', 'private, no-store, no-transform'],
  ['Vary', 'Payment-Pass, Cookie'],
  ['Access-Control-Expose-Headers', 'Payment-Pass'],
]

/** Who has paid for this view before, and what the answer says to him; where nobody can look, he is told to come again. */
export type Seen = { readonly headers: AnswerHeaders } | { readonly answer: StreamAnswer }

/** Whether who asks may see it without paying. Who may is never asked for money because our books cannot be read. */
export async function seenView(views: Views, request: StreamRequest): Promise<Seen | undefined> {
  try {
    const pass = await views.read({ get: (name) => request.header(name.toLowerCase()) ?? null }, pathOf(request))
    return pass === undefined ? undefined : { headers: seen }
  } catch {
    return { answer: problem(engineErrors('stream/not-ready', {}), { cors: '*', retryAfter: 1 }) }
  }
}

/** What it says to who has paid for it now: with this he sees it again. */
export async function paidView(views: Views, request: StreamRequest, { payment }: ViewPaid): Promise<AnswerHeaders> {
  const { payer, requirements, purchase } = payment
  const { headers } = await views.grant({ resource: pathOf(request), viewer: accountOf(requirements.network, payer), purchase })
  return [...headers, ...seen]
}

/** A response of the web platform that says so. */
export function viewedWeb(response: Response, headers: AnswerHeaders): Response {
  const said = new Response(response.body, response)
  for (const [name, value] of headers) if (name !== 'Cache-Control' || !said.headers.has(name)) said.headers.append(name, value)
  return said
}
