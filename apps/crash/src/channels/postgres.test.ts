import { describe } from 'vitest'
import { postgresPlaces } from '../world/servers.ts'
import { testChannelCrashes } from './suite.ts'

describe('channels with their books in PostgreSQL', () =>
  testChannelCrashes(async () => {
    const { claims: books, stop } = await postgresPlaces()
    return { books, stop }
  }))
