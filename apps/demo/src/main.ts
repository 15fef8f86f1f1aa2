import { tellStory } from './story.ts'

const once = process.argv.includes('--once')
const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort())
process.once('SIGTERM', () => interrupted.abort())

process.exitCode = await tellStory({ once, signal: interrupted.signal, say: (line) => console.log(line) })
