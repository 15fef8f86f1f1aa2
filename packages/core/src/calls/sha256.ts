/**
 * SHA-256 as lower-case hex: at once where there is Node's cryptography, later where there is the web's, and nothing where there is
 * neither, as in pages that came over plain HTTP.
 */
export function sha256(bytes: Uint8Array): string | Promise<string> | undefined {
  const node = globalThis.process?.getBuiltinModule?.('node:crypto')
  return node === undefined ? webSha256(bytes) : node.createHash('sha256').update(bytes).digest('hex')
}

/** The same by the web's cryptography alone. */
export function webSha256(bytes: Uint8Array): Promise<string> | undefined {
  // Every view in these packages is over an ArrayBuffer: none is made over a shared one.
  const own = bytes as Uint8Array<ArrayBuffer>
  return globalThis.crypto?.subtle?.digest('SHA-256', own).then(hexOf)
}

function hexOf(buffer: ArrayBuffer): string {
  return Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
