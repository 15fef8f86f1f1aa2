import { sha256 } from '@flow402x/core'
import { createMacs, type Secret } from '@flow402x/core/stream'
import * as z from 'zod/mini'
import { base64url, bytesOf } from './base64url.ts'

/** What a pass is good for: a code made for one of them opens none of the others. */
export type PassKind = 'window' | 'edge' | 'view'

// The length of a header of FS/1 (streaming.md §5.2), and what of it a path may be.
const longest = 512
const longestName = 256

/** What a pass says: it opens `resource` (all below it, where that ends with a slash) for whoever `sid` names, up to and with `exp` (Unix ms). */
export type Pass = z.infer<typeof Pass>
const Pass = z.strictObject({
  sid: z.string().check(z.regex(/^[A-Za-z0-9_-]{1,64}$/)),
  resource: z.string().check(z.maxLength(longestName)),
  exp: z.int().check(z.nonnegative()),
})

/** What is asked for, and when (Unix ms); `exactly` that, where a pass for a path with a slash at its end opens nothing below it. */
export type AskedPass = { readonly resource: string; readonly now: number; readonly exactly?: boolean | undefined }

/** Makes passes and knows them again by the secret alone: nothing is looked up (streaming.md §11 e). */
export interface Passes {
  /** The text of a pass, for a header, a cookie or a path. */
  issue(pass: Pass): Promise<string>
  /** What a pass says, where it was made here and opens what is asked for. */
  read(text: string | undefined, asked: AskedPass): Promise<Pass | undefined>
}

const form = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{43})$/

/**
 * The passes of one kind. Whoever holds the secret makes them; those that check them, such as a worker at the edge, hold it too, and the
 * first of several makes while all are known, so that one can be replaced while its passes live.
 *
 * Errors: `config/weak-secret`.
 */
export function createPasses({ secret, kind }: { readonly secret: Secret; readonly kind: PassKind }): Passes {
  const macs = createMacs(secret)
  // The kind stands in what is coded and not in the pass.
  const coded = (said: string): Uint8Array => utf8.encode(`flow402x pass ${kind}\n${said}`)
  return {
    async issue(pass) {
      const named = { ...pass, resource: await nameOf(pass.resource) }
      const said = base64url(utf8.encode(JSON.stringify(z.parse(Pass, named))))
      return `${said}.${base64url(await macs.make(coded(said)))}`
    },
    async read(text, { resource, now, exactly = false }) {
      const [, said, mac] = text === undefined || text.length > longest ? [] : (form.exec(text) ?? [])
      if (said === undefined || mac === undefined) return undefined
      if (!(await macs.knows(coded(said), bytesOf(mac)))) return undefined
      const pass = passIn(said)
      if (pass === undefined || now > pass.exp) return undefined
      const isNamed = pass.resource === (await nameOf(resource))
      return isNamed || (!exactly && opens(pass.resource, resource)) ? pass : undefined
    },
  }
}

/** What the text of a pass says, whoever made it: for who keeps one, who could not judge it. */
export function readPass(text: string): Pass | undefined {
  const [, said] = text.length > longest ? [] : (form.exec(text) ?? [])
  return said === undefined ? undefined : passIn(said)
}

/** Whether a pass for `opened` opens `asked`; a path that climbs opens nothing. */
export function opens(opened: string, asked: string): boolean {
  if (opened === asked) return true
  return opened.endsWith('/') && asked.startsWith(opened) && !/(^|[/\\]|%2f|%5c)(\.|%2e){1,2}([/\\?;]|%2f|%5c|%3b|$)/i.test(asked)
}

/** A path by its hash where it is too long for a pass: a letter of most scripts is nine of a path. */
async function nameOf(resource: string): Promise<string> {
  return resource.length <= longestName ? resource : `sha256:${await sha256(utf8.encode(resource))}`
}

function passIn(said: string): Pass | undefined {
  try {
    const parsed = z.safeParse(Pass, JSON.parse(new TextDecoder().decode(bytesOf(said))))
    return parsed.success ? parsed.data : undefined
  } catch {
    return undefined
  }
}

const utf8 = new TextEncoder()
