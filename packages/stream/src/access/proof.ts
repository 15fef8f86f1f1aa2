import { paymentPassHeader } from '@flow402x/core/stream'
import { base64url, bytesOf } from './base64url.ts'

/** Who signs that he is the viewer: `evmTextSigner` and `solanaTextSigner` of the adapters make one. */
export interface ViewSigner {
  readonly address: string
  signText(text: string): Promise<string>
}

/** What a proof says: `viewer` (his account, CAIP-10) had his pass shown at `at` (Unix ms), and signed it. */
export type ViewProof = { readonly viewer: string; readonly at: number; readonly signature: string }

/** A pass as it is shown, with the proof that it is its bearer's where it brings one. */
export type ShownPass = { readonly pass: string; readonly proof?: ViewProof }

/** The account of a wallet on a network, written one way: EVM addresses are one in any case. */
export function accountOf(network: string, address: string): string {
  return `${network}:${/^0x/i.test(address) ? address.toLowerCase() : address}`
}

/** What a viewer signs: for this resource with its origin, at this time, and for nothing else. */
export function proofText(resource: string, { viewer, at }: Pick<ViewProof, 'viewer' | 'at'>): string {
  return `Show me what this wallet paid for.\n\n${resource}\n${viewer}\n${at}`
}

/** Makes the value of `Payment-Pass` for one request: the pass that was given for a URL, and the proof that its bearer is who paid. */
export type ProvePass = (url: string | URL, pass: string) => Promise<string>

/**
 * Proves passes as a wallet on the network it paid on. Each proof is good for one request, and later than the one before.
 *
 * Errors: what the signer throws.
 */
export function viewProver({
  signer,
  network,
  clock = Date.now,
}: {
  readonly signer: ViewSigner
  readonly network: string
  /** Unix milliseconds. */
  readonly clock?: () => number
}): ProvePass {
  const viewer = accountOf(network, signer.address)
  let last = 0
  return async (url, pass) => {
    last = Math.max(last + 1, clock())
    const at = last
    const { origin, pathname } = new URL(url)
    const signature = await signer.signText(proofText(`${origin}${pathname}`, { viewer, at }))
    const { body, mac } = paymentPassHeader.decode(pass)
    return paymentPassHeader.encode({ body: base64url(utf8.encode([body, viewer, at, signature].join(' '))), mac })
  }
}

/** Reads what is shown: a pass by itself, or one that a proof goes along with. */
export function readShown(text: string): ShownPass {
  const [, said = '', mac = ''] = text.length > paymentPassHeader.limit ? [] : (/^([\w-]+)\.([\w-]{43})$/.exec(text) ?? [])
  const [body, viewer, at, signature, ...more] = new TextDecoder().decode(bytesOf(said)).split(' ')
  if (body === undefined || viewer === undefined || signature === undefined || more.length > 0 || !/^\d{1,15}$/.test(at ?? ''))
    return { pass: text }
  return { pass: `${body}.${mac}`, proof: { viewer, at: Number(at), signature } }
}

const utf8 = new TextEncoder()
