/** Where a command reads and writes: standard output for what was asked for, `note` for everything said beside it. */
export type Terminal = {
  readonly out: (chunk: string | Uint8Array) => unknown
  readonly note: (line: string) => unknown
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: AsyncIterable<Uint8Array | string>
  readonly signal: AbortSignal
}

/** One command of `flow402x`; `run` gives the exit code. */
export type Command = {
  readonly summary: string
  readonly usage: string
  run(args: readonly string[], terminal: Terminal): Promise<number>
}
