export { type PostgresConnection, type PostgresPool, type PostgresStoreOptions, postgresStore } from './sql/postgres-store.ts'
