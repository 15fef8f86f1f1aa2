export type { RedisClient, RedisOptions, RedisSource } from './redis/connection.ts'
export { type HotStoreOptions, hotStore } from './redis/hot-store.ts'
export { type RedisStoreOptions, redisBudgets, redisStore } from './redis/redis-store.ts'
