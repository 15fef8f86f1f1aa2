/** Bytes in standard base64, as transactions travel. */
export function encodeBase64(bytes: Uint8Array): string {
  if (typeof Buffer !== 'undefined') return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
  return btoa(String.fromCharCode(...bytes))
}

/** The bytes of standard base64, whose padding may be missing (wire.md §1.1), or nothing for other text. */
export function decodeBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined
  const bare = text.replace(/=+$/, '')
  if (bare.length % 4 === 1) return undefined
  if (typeof Buffer !== 'undefined') return Buffer.from(bare, 'base64')
  return Uint8Array.from(atob(bare), (letter) => letter.charCodeAt(0))
}
