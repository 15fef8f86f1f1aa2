import { type ClientScheme, firstIssue, isX402Error, type PaymentRequired, paymentRequiredHeader } from '@flow402x/core'
import { paymentRequiredV1, requiredFromV1 } from '@flow402x/core/v1'
import * as z from 'zod/mini'
import { clientErrors } from '../engine/errors.ts'

/** What a 402 asks, and the protocol version it was asked in; `required` is missing where v1 named only networks nobody knows. */
export type Offer = { readonly version: 1 | 2; readonly required: PaymentRequired | undefined }

/** Where a 402 came from, and who may know its dialect. */
export type Asking = { readonly url: string; readonly schemes: readonly ClientScheme[] }

/** The most of a 402's body that is read for a v1 offer. */
const bodyLimit = 65_536

/**
 * Reads the offer of a 402: the header, else a JSON body of version 1 or of a dialect that a scheme knows, else nothing. The response
 * stays readable.
 *
 * Errors: `client/bad-offer` for one that breaks the protocol.
 */
export async function readOffer(response: Response, { url, schemes }: Asking): Promise<Offer | undefined> {
  const header = response.headers.get(paymentRequiredHeader.name)
  if (header === null) return await readBody(response, { url, schemes })
  try {
    return { version: 2, required: paymentRequiredHeader.decode(header) }
  } catch (cause) {
    throw clientErrors('client/bad-offer', { url, why: isX402Error(cause) ? cause.message : 'its header is malformed', cause })
  }
}

async function readBody(response: Response, { url, schemes }: Asking): Promise<Offer | undefined> {
  const type = response.headers.get('Content-Type')
  if (response.body === null || (type !== null && !/\bjson\b/i.test(type))) return undefined
  const body = parseJson(await readText(response.clone()))
  if (!z.safeParse(versionOne, body).success) {
    const asked = schemes.map((scheme) => scheme.readChallenge?.(body)).find((one) => one !== undefined)
    return asked && { version: 2, required: { x402Version: 2, resource: { url }, accepts: [asked] } }
  }
  const parsed = z.safeParse(paymentRequiredV1, body)
  if (!parsed.success) throw clientErrors('client/bad-offer', { url, why: `its body: ${firstIssue(parsed.error)}` })
  return { version: 1, required: requiredFromV1(parsed.data) }
}

const versionOne = z.looseObject({ x402Version: z.literal(1), accepts: z.array(z.unknown()) })

async function readText(response: Response): Promise<string> {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  let text = ''
  for (let length = 0; reader !== undefined; ) {
    const { done, value } = await reader.read()
    if (done) return text + decoder.decode()
    length += value.byteLength
    if (length > bodyLimit) {
      // A clone's cancel settles only with its sibling's, so it is not awaited.
      void reader.cancel()
      return ''
    }
    text += decoder.decode(value, { stream: true })
  }
  return text
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
