export { type SqliteStoreOptions, sqliteStore } from './sql/sqlite-store.ts'
