export { type MemoryStoreOptions, memoryStore } from './claims/memory-store.ts'
