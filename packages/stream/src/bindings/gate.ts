import type { StreamRoute } from '../engine/streams.ts'
import { type ByteMeter, type Clockwork, createTap, realTime } from '../transports/tap.ts'
import { tapResponse } from '../transports/tapped-response.ts'
import { aheadOf } from './bytes.ts'
import { enter } from './enter.ts'
import { answerNode, type NodeVisit, nodeRequest } from './node.ts'

/** How what a handler writes is measured. */
export type GateOptions = {
  /** What its bytes are, once its head is known. What it throws resets the connection, and nothing is charged. */
  readonly meterOf: () => Promise<ByteMeter>
  /** Time, for what is sent no faster than it plays; as it comes unless told. */
  readonly pace?: Clockwork | 'real' | undefined
  /** Headers in the place of those that every answer has. */
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * Charges for whatever handlers write after it, whatever they write it with: `true` where they may begin. Each piece leaves when it is
 * paid; a whole answer ends its lane, and who asked for a part goes on with it.
 */
export async function gateNode(
  route: StreamRoute,
  { request, response, asked, options }: NodeVisit & { readonly options: GateOptions },
): Promise<boolean> {
  const { meterOf, pace, headers } = options
  const entered = await enter(route, nodeRequest(request, asked))
  if (entered.kind === 'answer') {
    answerNode(response, { ...entered.answer, headers: { ...entered.answer.headers, ...headers } })
    return false
  }
  const { lane, keeps } = entered
  if (response.destroyed) {
    lane.release()
    return false
  }
  for (const [name, value] of Object.entries({ ...entered.headers, ...headers })) response.setHeader(name, value)
  const window = aheadOf(route, pace !== undefined)
  tapResponse(response, {
    tapOf: async () => createTap({ lane, window, meter: await meterOf(), pace: pace === 'real' ? realTime : pace }),
    end(how) {
      const isOver = how === 'whole' && (response.statusCode !== 206 || !keeps)
      if (isOver) void lane.end('end of content')
      else lane.release()
    },
  })
  return true
}
