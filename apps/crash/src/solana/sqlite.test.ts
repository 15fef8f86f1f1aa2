import { testSolanaFacilitators } from './suite.ts'

testSolanaFacilitators({ name: 'SQLite' })
