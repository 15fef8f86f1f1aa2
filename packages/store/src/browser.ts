export { browserChannels } from './browser/channels.ts'
export type { BrowserStoreOptions } from './browser/database.ts'
export { type BrowserLedgerOptions, browserLedger } from './browser/ledger.ts'
