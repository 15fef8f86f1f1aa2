import { sha256 } from '@flow402x/core'
import type { AssetPaths } from './frame.ts'
import { script } from './script.ts'
import { stylesheet } from './stylesheet.ts'

/** A file beside the pages. */
type AssetFile = { readonly text: string; readonly type: string; readonly cache: string }

/** The files beside the pages, under paths that name what is in them: a browser asks for each once. */
export type AssetFiles = { readonly paths: AssetPaths; find(path: string): AssetFile | undefined }

const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"><rect width="24" height="24" rx="6" fill="#0b6e66"/><path d="M5 9c2.3-3 4.7-3 7 0s4.7 3 7 0M5 15c2.3-3 4.7-3 7 0s4.7 3 7 0" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round"/></svg>'

const forever = 'public, max-age=31536000, immutable'

/** Names the files by what is in them. */
export async function assetFiles(): Promise<AssetFiles> {
  const paths = {
    stylesheet: `/assets/${await digest(stylesheet)}.css`,
    script: `/assets/${await digest(script)}.js`,
    icon: `/assets/${await digest(icon)}.svg`,
  }
  const files = new Map<string, AssetFile>([
    [paths.stylesheet, { text: stylesheet, type: 'text/css; charset=utf-8', cache: forever }],
    [paths.script, { text: script, type: 'text/javascript; charset=utf-8', cache: forever }],
    [paths.icon, { text: icon, type: 'image/svg+xml', cache: forever }],
  ])
  return { paths, find: (path) => files.get(path) }
}

/** A short name for a text, another for every other. */
export async function digest(text: string): Promise<string> {
  const hash = await sha256(new TextEncoder().encode(text))
  return (hash ?? '').slice(0, 24)
}
