import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'

/** A table of plain text, one column per cell; `total` is its last line. */
export type Table = {
  readonly title: string
  readonly head: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly total: string
}

/** Leaves a table for the end of the run; tables are printed in the order of their names. */
export function leaveTable(name: string, { title, head, rows, total }: Table): void {
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((text, column) => text.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('──')
  const text = [title, rule, line(head), rule, ...rows.map(line), rule, total].join('\n')
  writeFileSync(join(inject('tables'), name), `\n${text}\n`)
}
