import { bazaarRoutes, type DiscoveryListQuery } from '@flow402x/core/bazaar'

/** How many listings stand on one page. */
export const pageSize = 20

const { shape } = bazaarRoutes.list.query
const names = [
  'category',
  'maxPrice',
  'network',
  'asset',
  'unit',
  'transport',
  'type',
  'tag',
  'scheme',
  'payTo',
  'verified',
  'healthy',
  'sort',
] as const

/** The filters that a visitor may set; in the address of a page they are spelled as in `GET /discovery/resources`. */
export type FilterName = (typeof names)[number]

/** What a visitor looks for: all of it stands in the address of the page. */
export type Search = {
  readonly words: string
  /** From 1. */
  readonly page: number
  readonly filters: Pick<DiscoveryListQuery, FilterName>
  /** What was written and cannot be looked for, by filter; it is left out of the search. */
  readonly wrong: Readonly<Partial<Record<FilterName, string>>>
}

/** The last page that is shown: beyond it nobody reads, and a search that far back only costs. */
export const lastPage = 500

/** Reads a search from the address of its page. */
export function readSearch(asked: URLSearchParams): Search {
  const wrong: Partial<Record<FilterName, string>> = {}
  const filters: Pick<DiscoveryListQuery, FilterName> = {}
  for (const name of names) {
    const text = tidy(name, asked.get(name))
    if (text === '') continue
    const read = shape[name].safeParse(text)
    if (read.success) Object.assign(filters, { [name]: read.data })
    else wrong[name] = text
  }
  const page = Number(asked.get('page') ?? 1)
  return {
    words: (asked.get('query') ?? '').trim().slice(0, 500),
    page: Number.isInteger(page) && page >= 1 ? Math.min(page, lastPage) : 1,
    filters,
    wrong,
  }
}

/** The address of the page of a search. */
export function searchPath({ words, page, filters }: Pick<Search, 'words' | 'filters'> & { readonly page?: number }): string {
  const asked = new URLSearchParams(words === '' ? {} : { query: words })
  for (const name of names) if (filters[name] !== undefined) asked.set(name, String(filters[name]))
  if (page !== undefined && page > 1) asked.set('page', String(page))
  return asked.size === 0 ? '/' : `/?${asked}`
}

function tidy(name: FilterName, written: string | null): string {
  const text = (written ?? '').trim()
  if (name === 'maxPrice') return text.replace(/^\$\s*|\s*(?:USD|\$)$/gi, '')
  return name === 'category' ? text.toLowerCase() : text
}
