/** A table of plain text, one column per cell; the last line counts. */
export function printTable(
  title: string,
  { head, rows, total }: { head: readonly string[]; rows: readonly (readonly string[])[]; total: string },
): void {
  const widths = head.map((name, column) => Math.max(name.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  const rule = widths.map((width) => '─'.repeat(width)).join('──')
  console.log(`\n${[title, rule, line(head), rule, ...rows.map(line), rule, total].join('\n')}\n`)
}
