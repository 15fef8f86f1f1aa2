export type { RedisClient, RedisOptions, RedisSource } from './redis/connection.ts'
export { type RedisStoreOptions, redisBudgets, redisStore } from './redis/redis-store.ts'
