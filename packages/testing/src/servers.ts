export { freePort } from './servers/child.ts'
export { startPostgres } from './servers/postgres.ts'
export { hasRedis, type RedisCluster, type RedisSettings, startRedis, startRedisCluster } from './servers/redis.ts'
export type { TestServer } from './servers/server.ts'
