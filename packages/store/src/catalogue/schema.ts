/** The engines that keep a catalogue. */
export type Dialect = 'sqlite' | 'postgres'

const words: Readonly<Record<Dialect, readonly string[]>> = {
  // Contentless, for the terms stand in the row; without positions, for nobody asks for phrases.
  sqlite: [
    `CREATE VIRTUAL TABLE flow402x_listing_terms USING fts5(
      terms, content='', contentless_delete=1, detail=none, tokenize="ascii tokenchars ':-'")`,
  ],
  postgres: [
    'CREATE TABLE flow402x_listing_terms (rowid DOUBLE PRECISION PRIMARY KEY, terms TSVECTOR NOT NULL)',
    'CREATE INDEX flow402x_listing_terms_words ON flow402x_listing_terms USING GIN (terms) WITH (fastupdate = off)',
  ],
}

/**
 * The tables of a catalogue. `place` is where a listed entry stands: its quality in steps, then its number, so that the highest place is
 * the best and an index by place gives the best first. The terms' table has listed entries alone, by place.
 */
export function catalogueTables(dialect: Dialect): readonly string[] {
  const serial = dialect === 'sqlite' ? 'INTEGER PRIMARY KEY AUTOINCREMENT' : 'SERIAL PRIMARY KEY'
  return [
    `CREATE TABLE flow402x_listings (
      seq ${serial}, key TEXT NOT NULL UNIQUE, place DOUBLE PRECISION, origin TEXT NOT NULL, page TEXT NOT NULL, payee TEXT NOT NULL, target TEXT NOT NULL,
      state TEXT NOT NULL, reason TEXT NOT NULL, note TEXT, since DOUBLE PRECISION NOT NULL, claims TEXT NOT NULL, listing TEXT, terms TEXT NOT NULL,
      quality DOUBLE PRECISION NOT NULL, failures INTEGER NOT NULL, next_probe_at DOUBLE PRECISION NOT NULL, epoch INTEGER NOT NULL)`,
    'CREATE UNIQUE INDEX flow402x_listings_place ON flow402x_listings (place) WHERE place IS NOT NULL',
    'CREATE INDEX flow402x_listings_due ON flow402x_listings (next_probe_at)',
    'CREATE INDEX flow402x_listings_page ON flow402x_listings (page)',
    'CREATE INDEX flow402x_listings_origin ON flow402x_listings (origin)',
    `CREATE TABLE flow402x_listing_prices (
      place DOUBLE PRECISION NOT NULL, network TEXT NOT NULL, asset TEXT NOT NULL, symbol TEXT NOT NULL, currency TEXT NOT NULL,
      scheme TEXT NOT NULL, pay_to TEXT NOT NULL, unit TEXT NOT NULL, price TEXT)`,
    'CREATE INDEX flow402x_listing_prices_place ON flow402x_listing_prices (place)',
    ...words[dialect],
    `CREATE TABLE flow402x_listing_payments (
      network TEXT NOT NULL, tx TEXT NOT NULL, log_index INTEGER NOT NULL, key TEXT NOT NULL, payer TEXT NOT NULL, pay_to TEXT NOT NULL,
      payer_cluster TEXT NOT NULL, seller_cluster TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, PRIMARY KEY (network, tx, log_index))`,
    'CREATE INDEX flow402x_listing_payments_key ON flow402x_listing_payments (key, payer)',
    'CREATE INDEX flow402x_listing_payments_payer ON flow402x_listing_payments (payer_cluster, seller_cluster)',
    'CREATE INDEX flow402x_listing_payments_seller ON flow402x_listing_payments (seller_cluster, payer_cluster)',
    `CREATE TABLE flow402x_listing_ratings (
      key TEXT NOT NULL, network TEXT NOT NULL, payer TEXT NOT NULL, tx TEXT NOT NULL, stars INTEGER NOT NULL, comment TEXT,
      issued_at DOUBLE PRECISION NOT NULL, receipt TEXT, cluster TEXT NOT NULL, PRIMARY KEY (key, network, payer))`,
  ]
}
