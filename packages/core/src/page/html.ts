const markup = Symbol('markup')

/** Markup that may be sent as it is: only `html` makes it. */
export type Html = { readonly [markup]: string }

/** What may stand between the literals of `html`: text of whomever, markup of ours, lists of both, or nothing. */
export type Part = Html | string | number | false | null | undefined | readonly Part[]

type Place = 'text' | 'attribute' | 'address' | 'tag'

const places = new WeakMap<TemplateStringsArray, readonly Place[]>()

/**
 * Writes markup in which text of strangers cannot become markup: what is put in is escaped, and it stands only in text or in a quoted
 * attribute. At the start of an `href` or `action` it must be an http(s) URL or a path of ours, else `#` stands there; at any other place
 * of a tag only markup of ours is written.
 */
export function html(literals: TemplateStringsArray, ...parts: readonly Part[]): Html {
  const known = places.get(literals) ?? placesOf(literals)
  places.set(literals, known)
  const texts = literals.map((literal, index) => `${index === 0 ? '' : write(parts[index - 1], known[index - 1])}${literal}`)
  return { [markup]: texts.join('') }
}

/** The text of markup, to be sent. */
export function toText(part: Html): string {
  return part[markup]
}

/**
 * Text with nothing in it that shows as something else: controls, and marks that turn the direction of what follows or that hide, become
 * `�`, and signs that pile up over a letter end with the fourth. Line ends and tabs stay, and so do the joiners that scripts and emoji need.
 */
export function plain(text: string): string {
  const visible = text.replace(/\r\n?/g, '\n').replace(unseen, '\uFFFD')
  return visible.replace(/(\p{M}{4})\p{M}+/gu, '$1')
}

/** Text as JSON that shows every character it has: what `plain` would take out is spelled as an escape. */
export function visibleJson(value: unknown, { indent = 0 }: { readonly indent?: number } = {}): string {
  return JSON.stringify(value, undefined, indent).replace(unseen, (sign) =>
    sign
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

// Whatever is no character that is seen, but for line ends, tabs and joiners; and the letters that are made to be empty.
const unseen = /[^\P{C}\n\t\u200C\u200D]|[\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0]/gu

function write(part: Part, place: Place = 'tag'): string {
  if (part === undefined || part === null || part === false) return ''
  if (typeof part === 'object') {
    if (!(markup in part)) return part.map((one) => write(one, place)).join('')
    return place === 'text' || place === 'tag' ? part[markup] : ''
  }
  if (place === 'tag') return ''
  const text = plain(String(part))
  return escaped(place === 'address' && !isAddress(text) ? '#' : text)
}

function escaped(text: string): string {
  return text.replace(/[&<>"'`]/g, (sign) => `&#${sign.charCodeAt(0)};`)
}

function isAddress(text: string): boolean {
  return /^https?:\/\/[^\s\\]+$/i.test(text) ? URL.canParse(text) : /^(?:\/(?![/\\])|[?#])[^\s\\]*$/.test(text)
}

/** Where each part of a template stands, told by reading its literals as a browser would. */
function placesOf(literals: readonly string[]): readonly Place[] {
  let place: Place = 'text'
  return literals.slice(0, -1).map((literal) => {
    place = placeAfter(literal, place)
    return place === 'attribute' && /\s(?:href|action|formaction|src)="$/.test(literal) ? 'address' : place
  })
}

function placeAfter(literal: string, before: Place): Place {
  let place = before
  for (const sign of literal) {
    if (place === 'text') place = sign === '<' ? 'tag' : 'text'
    else if (place === 'tag') place = sign === '>' ? 'text' : sign === '"' ? 'attribute' : 'tag'
    else place = sign === '"' ? 'tag' : 'attribute'
  }
  return place
}
