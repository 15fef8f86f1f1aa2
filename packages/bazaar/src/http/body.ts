import { bazaarErrors } from '../catalog/errors.ts'

const bodyLimit = 65_536

/** The body of a request, up to a limit. Errors: `request/too-large`. */
export async function textOf({ body }: Request): Promise<string> {
  const decoder = new TextDecoder()
  let [text, length] = ['', 0]
  const reader = body?.getReader()
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader?.read()) {
    length += part.value.length
    if (length > bodyLimit) {
      await reader?.cancel()
      throw bazaarErrors('request/too-large', { limit: bodyLimit })
    }
    text += decoder.decode(part.value, { stream: true })
  }
  return text + decoder.decode()
}
