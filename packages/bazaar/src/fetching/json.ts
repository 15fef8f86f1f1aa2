/** The JSON of a text, or nothing where it is none; a schema judges it where it is read. */
export function readJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
