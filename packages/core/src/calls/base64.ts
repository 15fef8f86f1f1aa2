/** Bytes in standard base64. */
export function toBase64(bytes: Uint8Array): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  let binary = ''
  for (let start = 0; start < bytes.length; start += 8192) binary += String.fromCharCode(...bytes.subarray(start, start + 8192))
  return btoa(binary)
}

/** The UTF-8 of a text in standard base64. */
export function textToBase64(text: string): string {
  return typeof Buffer !== 'undefined' ? Buffer.from(text).toString('base64') : toBase64(new TextEncoder().encode(text))
}

/** Bytes in base64 for URLs, without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64url')
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/** The bytes of standard base64, whose padding may be missing; nothing for other text, such as url-safe letters or with white space. */
export function fromBase64(text: string): Uint8Array | undefined {
  const letters = text.endsWith('==') ? text.length - 2 : text.length - Number(text.endsWith('='))
  if (letters === 0 || letters % 4 === 1) return undefined
  if (typeof Buffer === 'undefined') {
    // `atob` takes padding that is missing, but not padding of a wrong length.
    const isStandard = /^[A-Za-z0-9+/]+={0,2}$/.test(text)
    return isStandard ? Uint8Array.from(atob(text.slice(0, letters)), (letter) => letter.charCodeAt(0)) : undefined
  }
  // Node leaves out what it cannot read. To look at each letter here would take longer than to read them.
  const bytes = Buffer.from(text, 'base64')
  const isWhole = bytes.length === Math.floor(letters * 0.75) && Buffer.byteLength(text) === text.length
  return isWhole && !text.includes('-') && !text.includes('_') ? bytes : undefined
}
