import type { PayerChannel } from '@flow402x/adapters-evm/client'
import { requestRefund } from '@flow402x/client'
import { findAsset, formatNetwork, isX402Error, parseDecimal, parseNetwork, toAtomic, toProblem, X402Error } from '@flow402x/core'
import { lesser } from '@flow402x/core/stream'
import { hexKey } from '../wallet/account.ts'
import { walletFileVariable } from '../wallet/home.ts'
import { type ChannelPayer, channelPayer, shown } from './channel-payer.ts'
import { type Command, noSubcommand, printJson, readArguments, type Terminal } from './command.ts'
import { cliErrors } from './errors.ts'
import { findKey, keyVariables } from './key.ts'
import { rpcVariable } from './rpc-url.ts'

const usage = 'flow402x channels list|top-up|close|withdraw [options]'

/** `flow402x channels`: what this wallet keeps with sellers, and the ways to get it back. */
export const channels: Command = {
  summary: 'Lists, fills and closes the channels that calls are paid over.',
  usage: `flow402x channels list                        the books, held against the chain
       flow402x channels top-up CHANNEL AMOUNT       puts more in, by a transaction of yours
       flow402x channels close CHANNEL               asks the seller for the rest, or starts to take it out
       flow402x channels withdraw [CHANNEL]          takes out what was announced, once the seller's time is over

      --network NAME        only channels on this network
      --url URL             where to ask for a refund; the address that opened the channel unless given
      --alone               asks no seller and starts the withdrawal at once
      --max-deposit PRICE   the most that may lie with one seller; $5 unless given
      --json                prints one line of JSON

A channel is named by its id or by the beginning of it, an amount is in the token, such as 2.5. The key is that of FLOW402X_EVM_PRIVATE_KEY
or of the file that FLOW402X_EVM_PRIVATE_KEY_FILE names, the books are those of "flow402x pay", in ~/.flow402x/wallet.db or the file that
${walletFileVariable} names. What asks the chain needs the network's node, such as ${rpcVariable('eip155:8453')}.`,
  async run(args, terminal) {
    const given = readOptions(args)
    const key = await findKey(terminal, { variable: keyVariables.eip155 })
    if (key === undefined) throw cliErrors('cli/no-key', { variables: [keyVariables.eip155] })
    const { maxDeposit } = given
    const payer = await channelPayer(terminal.env, { key: hexKey(key), maxDeposit })
    if (payer === undefined) throw cliErrors('cli/no-wallet-file', { variable: walletFileVariable })
    try {
      const say: Say = { ...given, payer, terminal, note: (line) => void (given.json || terminal.note(line)) }
      return await commands[given.command](say)
    } finally {
      await payer.close()
    }
  },
}

type Options = ReturnType<typeof readOptions>
type Say = Options & { readonly payer: ChannelPayer; readonly terminal: Terminal; readonly note: (line: string) => void }

const commands = { list, 'top-up': topUp, close, withdraw } as const

function isCommand(text: string | undefined): text is keyof typeof commands {
  return text !== undefined && Object.hasOwn(commands, text)
}

function readOptions([command, ...args]: readonly string[]) {
  if (!isCommand(command)) throw cliErrors('cli/usage', { why: noSubcommand('channels', command), usage })
  const { values, positionals } = readArguments(args, { options, usage, most: 2 })
  const [least, most] = { list: [0, 0], 'top-up': [2, 2], close: [1, 1], withdraw: [0, 1] }[command] as [number, number] // each has both
  if (positionals.length < least || positionals.length > most) {
    throw cliErrors('cli/usage', { why: `"channels ${command}" takes ${least === most ? least : `${least} to ${most}`} arguments.`, usage })
  }
  const [name, amount] = positionals
  const { network, url, alone = false, json = false, 'max-deposit': maxDeposit } = values
  if (url !== undefined && !URL.canParse(url)) throw cliErrors('cli/usage', { why: `"${url}" is no URL.`, usage })
  return { command, name, amount, url, alone, json, maxDeposit, network: network === undefined ? undefined : parseNetwork(network) }
}

const [text, flag] = [{ type: 'string' }, { type: 'boolean' }] as const
const options = { network: text, url: text, alone: flag, 'max-deposit': text, json: flag } as const

async function list({ payer, network, json, terminal }: Say): Promise<number> {
  const found = await allOf(payer, { network, signal: terminal.signal })
  if (json) printJson(terminal, { channels: found })
  else if (found.length === 0) terminal.out('There are no channels in these books.\n')
  else for (const channel of found) terminal.out(`${describe(channel)}\n`)
  return 0
}

async function topUp(say: Say): Promise<number> {
  const { payer, amount = '', json, note, terminal } = say
  const channel = await theOne(say)
  const decimal = parseDecimal(amount)
  const asset = findAsset(channel.network, channel.token)
  if (decimal === undefined || asset === undefined || decimal.units === 0n) {
    throw cliErrors('cli/usage', { why: `"${amount}" is no amount of the channel's token; write it as 2.5.`, usage })
  }
  assertReachable(payer, channel.network)
  const wanted = toAtomic(decimal, asset.decimals)
  note(`send a deposit of ${shown(wanted, channel)} into channel ${channel.id}`)
  const move = await payer.channels.topUp(channel.id, wanted, { signal: terminal.signal })
  if (move.amount !== wanted) note(`note a deposit was under way already: that one was brought in, and none beside it`)
  if (json) printJson(terminal, { channel: channel.id, ...move })
  else terminal.out(`deposited ${shown(move.amount, channel)} in ${move.transaction}\n`)
  return 0
}

async function close(say: Say): Promise<number> {
  const { payer, alone, json, note, terminal } = say
  const channel = await theOne(say)
  const refund = alone ? undefined : await askSeller(say, channel)
  if (refund !== undefined) {
    if (json) printJson(terminal, { channel: channel.id, refunded: refund.amount, transaction: refund.transaction })
    else terminal.out(`closed: ${shown(BigInt(refund.amount), channel)} came back in ${refund.transaction}\n`)
    return 0
  }
  assertReachable(payer, channel.network)
  note(`send the withdrawal from channel ${channel.id} is announced on chain`)
  const { transaction, amount, withdrawableAt } = await payer.channels.startWithdrawal(channel.id, { signal: terminal.signal })
  const due = new Date(withdrawableAt * 1000).toISOString()
  if (json) printJson(terminal, { channel: channel.id, withdrawing: amount, transaction, withdrawableAt })
  else
    terminal.out(
      `withdrawal of ${shown(amount, channel)} started in ${transaction}: run "flow402x channels withdraw" after ${due}. Until then its seller may claim what you signed.\n`,
    )
  return 0
}

/** What the seller gave back; nothing where it did not, or where the channel still has money that was not charged. */
async function askSeller(say: Say, channel: PayerChannel): Promise<{ amount: string; transaction: string } | undefined> {
  const { payer, url, note, terminal } = say
  const [method, asked] = channel.asked?.split(' ') ?? []
  const where = url ?? asked
  if (where === undefined) {
    note('note nobody knows where this channel was opened: give --url to ask its seller for a refund')
    return undefined
  }
  note(`ask  ${where} for a refund`)
  const { signal } = terminal
  try {
    const receipt = await requestRefund(where, { schemes: [payer.scheme], signal, ...(method === undefined ? {} : { method }) })
    const after = (await allOf(payer, { network: channel.network, signal: terminal.signal })).find(({ id }) => id === channel.id)
    if (after === undefined || after.books.balance <= after.books.charged)
      return { amount: receipt.amount ?? '0', transaction: receipt.transaction }
    note('note the seller answered, and the money is not out of the channel')
  } catch (error) {
    terminal.signal.throwIfAborted()
    note(`note ${error instanceof X402Error ? toProblem(error).detail : `${where} could not be asked: ${String(error)}`}`)
  }
  return undefined
}

async function withdraw(say: Say): Promise<number> {
  const { payer, name, network, json, note, terminal } = say
  const some = name === undefined ? await allOf(payer, { network, signal: terminal.signal }) : [await theOne(say)]
  const due = name === undefined ? some.filter(({ chain }) => chain !== undefined && chain.withdrawing > 0n) : some
  const withdrawn: { readonly channel: string; readonly amount: bigint; readonly transaction: string }[] = []
  let waiting = 0
  for (const channel of due) {
    assertReachable(payer, channel.network)
    try {
      const move = await payer.channels.finishWithdrawal(channel.id, { signal: terminal.signal })
      withdrawn.push({ channel: channel.id, ...move })
      if (!json) terminal.out(`withdrew ${shown(move.amount, channel)} from channel ${channel.id} in ${move.transaction}\n`)
    } catch (error) {
      if (name !== undefined || !isX402Error(error, 'evm/not-withdrawable')) throw error
      waiting += 1
      note(`wait ${error.message}`)
    }
  }
  if (json) printJson(terminal, { withdrawn, waiting })
  else if (due.length === 0) terminal.out('Nothing is being withdrawn.\n')
  return 0
}

async function allOf(
  { channels: { list: all } }: ChannelPayer,
  { network, signal }: { readonly network: string | undefined; readonly signal: AbortSignal },
): Promise<PayerChannel[]> {
  const found: PayerChannel[] = []
  for await (const channel of all({ signal })) if (network === undefined || channel.network === network) found.push(channel)
  return found
}

/** The channel that was named. Errors: `cli/no-such-channel`. */
async function theOne({ payer, name = '', network, terminal }: Say): Promise<PayerChannel> {
  const named = (await allOf(payer, { network, signal: terminal.signal })).filter(({ id }) => id.startsWith(name.toLowerCase()))
  const [only, ...more] = named
  if (only === undefined || more.length > 0 || name.length < 4) throw cliErrors('cli/no-such-channel', { name, found: named.length })
  return only
}

function assertReachable({ reachable }: ChannelPayer, network: string): void {
  if (!reachable.includes(network)) throw cliErrors('cli/no-rpc', { variable: rpcVariable(network), network: formatNetwork(network) })
}

function describe(channel: PayerChannel): string {
  const { id, network, receiver, books, chain } = channel
  const lines = [
    `${id} on ${formatNetwork(network)} with ${receiver}`,
    `  books  ${shown(books.left, channel)} left of ${shown(books.balance, channel)}, ${shown(books.charged, channel)} charged`,
  ]
  if (books.depositing > 0n) lines.push(`  books  a deposit of ${shown(books.depositing, channel)} is under way`)
  if (chain === undefined) lines.push(`  chain  not asked: set ${rpcVariable(network)}`)
  else lines.push(`  chain  ${shown(chain.balance, channel)} deposited, ${shown(chain.claimed, channel)} claimed by the seller`)
  if (chain?.withdrawableAt !== undefined) {
    const left = chain.balance - chain.claimed
    lines.push(
      `  chain  ${shown(lesser(chain.withdrawing, left), channel)} can be taken out after ${new Date(chain.withdrawableAt * 1000).toISOString()}`,
    )
  }
  return lines.join('\n')
}
