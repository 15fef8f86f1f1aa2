import { toProblem, X402Error } from '@flow402x/core'
import { bazaar } from './bazaar.ts'
import { channels } from './channels.ts'
import type { Command, Terminal } from './command.ts'
import { dev } from './dev.ts'
import { cliErrors } from './errors.ts'
import { pay } from './pay.ts'
import { wallet } from './wallet.ts'

const commands: Readonly<Record<string, Command>> = { bazaar, channels, dev, pay, wallet }

/**
 * Runs `flow402x` with its arguments and gives the exit code: 0 when it did what was asked, 1 when not, 2 for a wrong call.
 * With `--json` an error is one line of JSON on standard output: `{ "error": { code, detail, phase, moneyMoved, retry } }`.
 */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    terminal.out(help())
    return name === undefined ? 2 : 0
  }
  try {
    const main = Object.hasOwn(commands, name) ? commands[name] : undefined
    if (main === undefined) throw cliErrors('cli/unknown-command', { command: name })
    const [word = '', ...after] = rest
    const own = main.subcommands !== undefined && Object.hasOwn(main.subcommands, word) ? main.subcommands[word] : undefined
    const command = own ?? main
    if (rest.includes('--help') || rest.includes('-h')) {
      terminal.out(`${command.summary}\n\nUsage: ${command.usage}\n`)
      return 0
    }
    return await command.run(own === undefined ? rest : after, terminal)
  } catch (error) {
    return report(error, { json: rest.includes('--json'), terminal })
  }
}

function report(error: unknown, { json, terminal }: { json: boolean; terminal: Terminal }): number {
  const { aborted } = terminal.signal
  if (!(error instanceof X402Error)) {
    if (aborted) return 130
    terminal.note(`flow402x: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
  if (json) terminal.out(`${JSON.stringify({ error: toProblem(error) })}\n`)
  else terminal.note(`flow402x: ${error.message} (${error.code})`)
  // Whoever gives up must still be told whether money moved.
  if (aborted) return 130
  return error.code === 'cli/usage' || error.code === 'cli/unknown-command' ? 2 : 1
}

function help(): string {
  const list = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(9)} ${summary}`)
  return `flow402x — pay for any HTTP resource, get paid for yours.\n\nCommands:\n${list.join('\n')}\n\nRun "flow402x <command> --help" for its options.\n`
}
