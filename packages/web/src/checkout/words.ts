import * as z from 'zod/mini'
import type { Answer } from './purchase.ts'

const problem = z.looseObject({ detail: z.string() })

/** Why a payment was not taken, by what the seller says, and what can be done. */
export async function refusalWords(refusal: NonNullable<Answer['refusal']>, response: Response): Promise<string> {
  const { reason, retry, deadAfter } = refusal
  if (reason === 'handler_failed') return `The seller could not make it, and took no money. ${ways(retry, deadAfter)}`
  const said = z.safeParse(problem, await response.json().catch(() => undefined)).data?.detail ?? `status ${response.status}`
  return `The payment was not taken. The seller says: ${said.slice(0, 300)} ${ways(retry, deadAfter)}`
}

/** What can be done with a payment whose end is not known. */
export function untilWords(deadAfter: number): string {
  return `You signed a payment for this, and what came of it is not known yet. ${ways('same', deadAfter)}`
}

function ways(retry: NonNullable<Answer['refusal']>['retry'], deadAfter: number): string {
  const until = new Date(deadAfter * 1000)
  const time = until.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  const again = retry === 'never' ? 'Wait' : 'Ask again, which sends the same payment and signs nothing more, or wait'
  return `${again}: it can be used until ${time}, and a minute later you can buy anew.`
}
