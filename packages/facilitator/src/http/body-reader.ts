import { facilitatorErrors } from '../engine/errors.ts'

/** The JSON of a request of at most `limit` bytes. Errors: `request/too-large`, `request/malformed`. */
export async function readJson(request: Request, { limit }: { readonly limit: number }): Promise<unknown> {
  const bytes = await readBytes(request, limit)
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw facilitatorErrors('request/malformed', { why: 'its body is not JSON in UTF-8', cause })
  }
}

async function readBytes(request: Request, limit: number): Promise<Uint8Array> {
  const tooLarge = facilitatorErrors('request/too-large', { limit })
  if (Number(request.headers.get('content-length') ?? 0) > limit) throw tooLarge
  const reader = request.body?.getReader()
  const bytes = new Uint8Array(limit)
  let length = 0
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    if (length + part.value.length > limit) {
      await reader?.cancel()
      throw tooLarge
    }
    bytes.set(part.value, length)
    length += part.value.length
  }
  return bytes.subarray(0, length)
}
