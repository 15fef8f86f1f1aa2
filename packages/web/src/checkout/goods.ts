import { element } from '../screen/parts.ts'

/** What came, as it is shown: nothing of it becomes a part of this page. */
export async function showGoods(response: Response, place: HTMLElement): Promise<void> {
  const type = (response.headers.get('Content-Type') ?? '').trim()
  const body = await response.blob()
  const name = nameOf(response)
  const address = URL.createObjectURL(new Blob([body], { type: safeType(type) }))
  const save = element('a', `Save ${name} (${sizeOf(body)})`)
  save.href = address
  save.download = name
  save.className = 'save'
  const isKept = /^\s*attachment\b/i.test(response.headers.get('Content-Disposition') ?? '')
  const shown =
    body.size === 0
      ? element('p', 'It is done, and there is nothing to show.')
      : isKept
        ? undefined
        : await shownAs(type, { body, address, response })
  place.replaceChildren(...(shown === undefined ? [] : [shown]), ...(body.size === 0 ? [] : [save]))
}

type Came = { readonly body: Blob; readonly address: string; readonly response: Response }

async function shownAs(type: string, came: Came): Promise<HTMLElement | undefined> {
  const { body, address } = came
  if (/^image\//i.test(type)) return Object.assign(element('img'), { src: address, alt: 'What you bought' })
  if (/^(video|audio)\//i.test(type)) return media(/^video/i.test(type) ? 'video' : 'audio', address)
  if (/^application\/pdf\b/i.test(type)) return Object.assign(element('iframe'), { src: address, title: 'What you bought' })
  if (/^(text\/html|application\/xhtml\+xml)\b/i.test(type)) return bought(came, await textOf(body, type))
  return /^(text\/|application\/(?:[\w.-]+\+)?(?:json|xml|x-ndjson|yaml)\b)/i.test(type) ? text(await textOf(body, type)) : undefined
}

/** A page in a frame of no origin (`goods-frame.ts`), which is told what to show once it is there. */
function bought({ response }: Came, html: string): HTMLElement {
  const frame = Object.assign(element('iframe'), { title: 'What you bought', src: document.body.dataset.frame ?? '' })
  const told = { html, base: location.href, policy: policyFor(response) }
  // A document of no origin has no name to send to; the frame loads nothing but what is of this site (`frame-src`).
  frame.addEventListener('load', () => frame.contentWindow?.postMessage(told, '*'), { once: true })
  return frame
}

/** The seller's policy, without what counts in headers alone. */
function policyFor({ headers }: Response): string {
  const parts = (headers.get('Content-Security-Policy') ?? '').split(/[;,]/).map((part) => part.trim())
  return parts.filter((part) => part !== '' && !/^(sandbox|frame-ancestors|report-uri|report-to)\b/i.test(part)).join('; ')
}

function media(kind: 'video' | 'audio', src: string): HTMLElement {
  return Object.assign(element(kind), { src, controls: true, playsInline: true })
}

function text(content: string): HTMLElement {
  const place = element('pre', content)
  place.tabIndex = 0
  place.role = 'region'
  place.ariaLabel = 'What you bought'
  return place
}

async function textOf(body: Blob, type: string): Promise<string> {
  const bytes = await body.arrayBuffer()
  const [, charset = 'utf-8'] = /charset="?([\w.:-]+)/i.exec(type) ?? []
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    return new TextDecoder().decode(bytes)
  }
}

/** Whatever a browser would run as a document of this site is a file, once it has an address of its own. */
function safeType(type: string): string {
  return /^(image\/|video\/|audio\/|application\/pdf\b)/i.test(type) ? type : 'application/octet-stream'
}

/** What it is saved as: by what the seller says, else by its address. */
function nameOf({ headers, url }: Response): string {
  const said = headers.get('Content-Disposition') ?? ''
  const [, quoted, bare] = /filename="([^"]*)"|filename=([^;\s]+)/i.exec(said) ?? []
  const [, coded] = /filename\*=utf-8''([^;\s]+)/i.exec(said) ?? []
  const last = new URL(url || location.href).pathname.split('/').at(-1)
  const name = decoded(coded) ?? quoted ?? bare ?? decoded(last) ?? ''
  return (
    name
      .replaceAll(/[/\\\p{C}]/gu, '_')
      .replace(/^\.+/, '')
      .slice(0, 120) || 'download'
  )
}

function decoded(name: string | undefined): string | undefined {
  try {
    return name === undefined ? undefined : decodeURIComponent(name)
  } catch {
    return undefined
  }
}

function sizeOf({ size }: Blob): string {
  return size < 1000 ? `${size} bytes` : size < 1_000_000 ? `${(size / 1000).toFixed(1)} kB` : `${(size / 1_000_000).toFixed(1)} MB`
}
