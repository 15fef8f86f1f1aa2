import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import type { Terminal } from './command.ts'

/** A terminal that somebody sits at. */
export type Seat = { readonly input: NodeJS.ReadStream; readonly output: NodeJS.WriteStream; readonly signal: AbortSignal }

/** Asks at a terminal, or nothing where input or output is none: nobody would see the question. */
export function promptOf({ input, output, signal }: Seat): Terminal['ask'] {
  if (!input.isTTY || !output.isTTY) return undefined
  return (question, { hidden }) =>
    new Promise((resolve, reject) => {
      // The terminal itself shows nothing in raw mode, so what is typed is seen only where this writes it.
      const shown = new Writable({
        write(chunk: Buffer, _, done) {
          if (!hidden) output.write(chunk)
          done()
        },
      })
      const lines = createInterface({ input, output: shown, terminal: true })
      output.write(question)
      const stop = () => {
        lines.close()
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      lines.once('SIGINT', () => process.emit('SIGINT'))
      lines.question('', (answer) => {
        signal.removeEventListener('abort', stop)
        lines.close()
        if (hidden) output.write('\n')
        resolve(answer)
      })
    })
}
