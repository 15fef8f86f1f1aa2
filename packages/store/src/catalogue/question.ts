import { parseDecimal } from '@flow402x/core'
import { type CatalogueQuery, fact, wordsAsked } from '@flow402x/core/bazaar'
import type { Column } from '../claims/record.ts'
import { run, type Statement } from '../sql/database.ts'
import type { Dialect } from './schema.ts'

/** What is looked for, without the page. */
export type Question = Omit<CatalogueQuery, 'limit' | 'offset' | 'sort'>

/** Where a statement looks: everywhere, or among so many of the best places alone. */
export type Looking = { readonly dialect: Dialect; readonly among?: number }

// The cheapest are told of so many of the best that match: what is compared has an end, however wide a question is.
const mostCompared = 2000

/** The statement that finds the places and rows of candidates. */
export function searchStatement({ limit, offset = 0, sort = 'best', ...question }: CatalogueQuery, looking: Looking): Statement {
  const { places, values, price, asked } = matching(question, looking)
  const page = `LIMIT ?${values.length + 1} OFFSET ?${values.length + 2}`
  // Of one place after the other it is asked whether an offer fits, the best first, until there are enough: a join would ask of all.
  const best = `(${places} ORDER BY place DESC) m`
  const fits = (offer: string): string => `(SELECT 1 FROM flow402x_listing_prices p WHERE ${offer} LIMIT 1) = 1`
  const matched = `FROM ${best}${asked ? ` WHERE ${fits(price)}` : ''}`
  // The page is cut from places alone; rows are read for what is on it.
  const cut = {
    best: `SELECT m.place, m.place AS rank ${matched} ORDER BY m.place DESC ${page}`,
    new: `SELECT m.place, (SELECT n.seq FROM flow402x_listings n WHERE n.place = m.place) AS rank ${matched} ORDER BY rank DESC ${page}`,
    price: `SELECT m.place, (SELECT MIN(p.price) FROM flow402x_listing_prices p WHERE ${price}) AS rank
      FROM (SELECT m.place FROM ${best} WHERE ${fits(`${price} AND p.price IS NOT NULL`)} ORDER BY m.place DESC LIMIT ${mostCompared}) m
      ORDER BY rank, m.place DESC ${page}`,
  }[sort]
  const order = sort === 'price' ? 'c.rank, c.place DESC' : 'c.rank DESC'
  return run(
    `SELECT l.key, l.quality, l.terms, l.origin, l.payee FROM (${cut}) c JOIN flow402x_listings l ON l.place = c.place ORDER BY ${order}`,
    [...values, limit, offset],
  )
}

/** The statement that counts what matches. */
export function countStatement(question: Question, looking: Looking): Statement {
  const { places, values, price, asked } = matching(question, looking)
  const fits = asked ? ` WHERE EXISTS (SELECT 1 FROM flow402x_listing_prices p WHERE ${price})` : ''
  return run(`SELECT COUNT(*) AS count FROM (${places}) m${fits}`, values)
}

// As many digits as a decimal text may have on either side of its point.
const digits = 40

/** A price as text that sorts as numbers do, exactly. */
export function sortable(amount: string): string {
  const { units, scale } = parseDecimal(amount) ?? { units: 0n, scale: 0 }
  return String(units * 10n ** BigInt(digits - scale)).padStart(2 * digits, '0')
}

/** The places that match, in no order, and what an offer at `m.place` has to meet, where anything is `asked` of offers. */
type Matching = { readonly places: string; readonly values: readonly Column[]; readonly price: string; readonly asked: boolean }

function matching(question: Question, { dialect, among }: Looking): Matching {
  const values: Column[] = []
  const bind = (value: Column): string => `?${values.push(value)}`
  const condition = priceCondition(question, bind)
  const terms = termsOf(question)
  if (terms.length === 0) return { places: 'SELECT place FROM flow402x_listings WHERE place IS NOT NULL', values, ...condition }
  const matches = {
    sqlite: () => `flow402x_listing_terms MATCH ${bind(terms.map((group) => `(${group.map(ftsTerm).join(' OR ')})`).join(' AND '))}`,
    postgres: () => `terms @@ CAST(${bind(terms.map((group) => `(${group.map(tsTerm).join(' | ')})`).join(' & '))} AS tsquery)`,
  }[dialect]()
  const best = among === undefined ? '' : `(SELECT rowid, terms FROM flow402x_listing_terms ORDER BY rowid DESC LIMIT ${among}) AS `
  return { places: `SELECT rowid AS place FROM ${best}flow402x_listing_terms WHERE ${matches}`, values, ...condition }
}

type Term = { readonly text: string; readonly prefix?: boolean }

/** Groups of terms: one of each must be there. */
function termsOf(question: Question): Term[][] {
  const { words, any = false, type, category, tag, transport, verified, healthy, extensions = [] } = question
  const { network, scheme, payTo, asset, unit } = question
  const asked = words === undefined ? [] : wordsAsked(words)
  // What is being typed may go on.
  const looked = asked.map((text, index) => ({ text, prefix: index === asked.length - 1 && text.length > 2 }))
  const facts = Object.entries({ type, category, tag, transport, network, scheme, payTo, asset, unit }).flatMap(([kind, value]) =>
    value === undefined ? [] : [[{ text: fact(kind, value) }]],
  )
  const marks = Object.entries({ verified, healthy }).flatMap(([kind, value]) => (value === true ? [[{ text: fact(kind, 'true') }]] : []))
  const keys = extensions.map((key) => [{ text: fact('extension', key) }])
  const told = any ? (looked.length === 0 ? [] : [looked]) : looked.map((one) => [one])
  return [...facts, ...marks, ...keys, ...told]
}

// Terms have letters, digits, colons and hyphens alone: nothing of them ends a quotation.
function ftsTerm({ text, prefix }: Term): string {
  return `"${text}"${prefix ? '*' : ''}`
}

function tsTerm({ text, prefix }: Term): string {
  return `'${text}'${prefix ? ':*' : ''}`
}

/** One offer that meets all that is asked of offers. */
function priceCondition(question: Question, bind: (value: Column) => string): { readonly price: string; readonly asked: boolean } {
  const { network, scheme, payTo, asset, unit, maxPrice } = question
  const parts = [
    ...(network === undefined ? [] : [`p.network = ${bind(network)}`]),
    ...(scheme === undefined ? [] : [`p.scheme = ${bind(scheme)}`]),
    ...(payTo === undefined ? [] : [`p.pay_to = ${bind(addressKey(payTo))}`]),
    ...(asset === undefined ? [] : [`(p.asset = ${bind(addressKey(asset))} OR p.symbol = ${bind(asset.toUpperCase())})`]),
    ...(unit === undefined ? [] : [`p.unit = ${bind(unit)}`]),
    ...(maxPrice === undefined ? [] : [`p.price <= ${bind(sortable(maxPrice))}`]),
    // What is not named is compared in dollars.
    ...(asset === undefined && maxPrice !== undefined ? ["p.currency = 'USD'"] : []),
  ]
  return { price: ['p.place = m.place', ...parts].join(' AND '), asked: parts.length > 0 }
}

/** An address in the one spelling that is compared: hex in lower case, everything else to the letter. */
export function addressKey(address: string): string {
  return /^0x/i.test(address) ? address.toLowerCase() : address
}
