import { postgresPlaces } from '../world/servers.ts'
import { testSolanaFacilitators } from './suite.ts'

testSolanaFacilitators({ name: 'PostgreSQL', place: postgresPlaces })
