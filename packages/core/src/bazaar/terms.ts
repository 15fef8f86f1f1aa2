import type { Listing } from './listing.ts'

/** What a buyer's words are worth looking up; the rest stands in every text. */
const idle = new Set(
  'a an and api are as at be by can do find for from get give how i in is it me my of on or service that the this to want with'.split(' '),
)

const mostTerms = 160

/**
 * The words of a text as every index has them: lower case, without accents, singular. Chinese, Japanese and Korean have a term for each
 * two letters, for nothing stands between their words.
 */
function wordsOf(text: string): string[] {
  const plain = text
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
  return (plain.match(/[\p{L}\p{N}]+/gu) ?? []).flatMap((run) => (dense.test(run) ? pairs(run) : [singular(run.slice(0, 40))]))
}

/** The words of a question that tell listings apart; all of them where none does. */
export function wordsAsked(text: string): string[] {
  const words = [...new Set(wordsOf(text))]
  const telling = words.filter((word) => !idle.has(word))
  return (telling.length === 0 ? words : telling).slice(0, 12)
}

/** What a listing is found by: its words, those of its name, category and tags once more behind `n:`, and its facts as `kind:value`. */
export function listingTerms(listing: Listing): string[] {
  const { name, serviceName, toolName, description, category, tags, resource, stream } = listing
  const { hostname, pathname } = new URL(resource)
  const named = [name, serviceName, toolName, category, ...(tags ?? [])].flatMap((text) => wordsOf(text ?? ''))
  const kinds = (category ?? '').split('.').map((_, index, parts) => fact('category', parts.slice(0, index + 1).join('.')))
  const facts = [
    fact('type', listing.type),
    ...(category == null ? [] : kinds),
    ...(tags ?? []).map((tag) => fact('tag', tag)),
    ...Object.keys(listing.extensions ?? {}).map((key) => fact('extension', key)),
    ...(stream?.transports ?? []).map((transport) => fact('transport', transport)),
    ...(listing.owner.verified ? [fact('verified', 'true')] : []),
    ...(listing.health.status === 'healthy' ? [fact('healthy', 'true')] : []),
    ...listing.accepts.flatMap(({ network, scheme, payTo, asset }) => [
      fact('network', network),
      fact('scheme', scheme),
      fact('payTo', payTo),
      fact('asset', asset),
    ]),
    ...listing.prices.flatMap(({ symbol, unit }) => [fact('unit', unit), ...(symbol == null ? [] : [fact('asset', symbol)])]),
  ]
  const words = [...named, ...wordsOf(description ?? ''), ...wordsOf(`${hostname} ${pathname}`)]
  return [...new Set([...facts, ...named.map((word) => `n:${word}`), ...words.filter((word) => !idle.has(word)).slice(0, mostTerms)])]
}

/** A fact of a listing as one term. Different facts may have one term: it narrows, and exactness is the columns'. */
export function fact(kind: string, value: string): string {
  return `${kind.toLowerCase()}:${value
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 64)}`
}

const dense = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u

function pairs(run: string): string[] {
  const letters = [...run]
  return letters.length === 1 ? letters : letters.slice(1).map((letter, index) => `${letters[index]}${letter}`)
}

function singular(word: string): string {
  if (word.length <= 3 || /(ss|us|is)$/.test(word) || !word.endsWith('s')) return word
  return word.endsWith('ies') ? `${word.slice(0, -3)}y` : word.slice(0, -1)
}
