import { describe } from 'vitest'
import { testChannelCrashes } from './suite.ts'

describe('channels with their books in SQLite', () => testChannelCrashes(async () => ({})))
