export { type MemoryStoreOptions, memoryStore } from './memory/memory-store.ts'
