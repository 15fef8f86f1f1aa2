import { type ParseArgsConfig, parseArgs } from 'node:util'
import { cliErrors } from './errors.ts'

/** Where a command reads and writes: standard output for what was asked for, `note` for everything said beside it. */
export type Terminal = {
  readonly out: (chunk: string | Uint8Array) => unknown
  readonly note: (line: string) => unknown
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly signal: AbortSignal
  /** Asks whoever sits there, showing nothing of what is typed where it is `hidden`; absent where nobody does. */
  readonly ask?: (question: string, options: { readonly hidden: boolean }) => Promise<string>
}

/** One command of `flow402x`; `run` gives the exit code. */
export type Command = {
  readonly summary: string
  readonly usage: string
  /** Commands of its own, by the word behind its name. */
  readonly subcommands?: Readonly<Record<string, Command>>
  run(args: readonly string[], terminal: Terminal): Promise<number>
}

type Options = NonNullable<ParseArgsConfig['options']>
type Parsed<Named extends Options> = ReturnType<typeof parseArgs<{ args: string[]; options: Named; allowPositionals: true }>>

/**
 * The options of a call and its arguments without a name, of which there may be so many. What is wrong is told without showing it: it may
 * be a key in the wrong place.
 *
 * Errors: `cli/usage`.
 */
export function readArguments<const Named extends Options>(
  args: readonly string[],
  { options, usage, most = 0 }: { readonly options: Named; readonly usage: string; readonly most?: number },
): Parsed<Named> {
  const parsed = parse<Named>(args, { options, usage })
  if (parsed.positionals.length > most) throw cliErrors('cli/usage', { why: 'There is an argument too many.', usage })
  return parsed
}

function parse<const Named extends Options>(
  args: readonly string[],
  { options, usage }: { readonly options: Named; readonly usage: string },
): Parsed<Named> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true })
  } catch (error) {
    throw cliErrors('cli/usage', { why: error instanceof Error ? error.message : String(error), usage })
  }
}

/** What is wrong where a command of a command was expected. */
export function noSubcommand(command: string, word: string | undefined): string {
  return word === undefined ? `Say what "${command}" is to do.` : `"${command} ${word}" is no command.`
}

/** Prints one line of JSON, integers as texts. */
export function printJson({ out }: Pick<Terminal, 'out'>, value: unknown): void {
  out(`${JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? part.toString() : part))}\n`)
}
