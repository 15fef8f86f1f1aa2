import { testStore } from '@flow402x/testing/suites'
import { memoryStore } from '../memory.ts'

const store = memoryStore({ retention: 3_600_000 })

testStore({
  name: 'the memory store',
  open: async () => store,
  program: { none: 'skipped: memory belongs to one process' },
})
