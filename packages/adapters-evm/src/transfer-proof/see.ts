import { type PaymentPayload, type Submission, sameAddress } from '@flow402x/core'
import { readTransfer, referenceTag, type SeenTransfer, type TransferChain, transferFailed } from '@flow402x/core/transfer'
import { bytesToHex } from '@noble/hashes/utils'
import * as z from 'zod/mini'
import { hexSchema } from '../chain/abi.ts'
import { quantity, toQuantity } from '../chain/fees.ts'
import { type Confirmations, finalBlock } from '../chain/finality.ts'
import type { Rpc } from '../chain/rpc.ts'
import { transferred, word } from '../checks/topics.ts'
import { coinTransfer, type DirectTransfer, type MinedTransaction, minedAt, readMined, tokenTransfer } from '../transfer/moved.ts'

type Abortable = { readonly signal?: AbortSignal | undefined }

/** Transfers on one EVM network; a token's can be found by its reference alone. Errors: `evm/rpc`, `evm/call-failed`. */
export type EvmTransfers = TransferChain & { find(submission: Submission, options?: Abortable): Promise<PaymentPayload | undefined> }

/** What transfers are looked at with; `coin` is the address that stands for the chain's own. */
export type EvmTransferOptions = { readonly network: string; readonly coin: string; readonly confirmations: Confirmations }

/** Reads transfers of a chain's coin and of its tokens. */
export function evmTransfers(rpc: Rpc, { network, coin, confirmations }: EvmTransferOptions): EvmTransfers {
  const chain: TransferChain = {
    network,
    spell: spellHash,
    async see(submission, { transaction, tag, signal }) {
      const mined = await readMined({ rpc, signal }, transaction)
      const time = mined && (await minedAt({ rpc, signal }, mined))
      if (mined === undefined || time === undefined) return { state: 'unknown' }
      const deep = (await finalBlock(rpc, confirmations)) >= mined.block
      const { asset } = submission.requirements
      const own = sameAddress(asset, coin) ? coinTransfer(mined) : tokenTransfer(mined, asset)
      return judge(mined, { own, submission, tag: `0x${bytesToHex(tag)}`, time: Number(time), deep })
    },
  }
  return {
    ...chain,
    async find({ payment, requirements }, { signal } = {}) {
      const reference = readTransfer(payment)?.reference
      if (reference === undefined) return undefined
      const tag = await referenceTag(reference)
      for (const transaction of await equalTransfers(rpc, requirements, signal)) {
        const seen = await chain.see({ payment, requirements }, { transaction, tag, signal })
        if (seen.state === 'paid' && seen.tagged) return { ...payment, payload: { ...payment.payload, transaction } }
      }
      return undefined
    },
  }
}

/** The hash that names a transaction, in its one spelling. */
export function spellHash(text: string): string | undefined {
  return /^0x[0-9a-fA-F]{64}$/i.test(text) ? text.toLowerCase() : undefined
}

type Judging = {
  readonly own: DirectTransfer | undefined
  readonly submission: Submission
  readonly tag: string
  readonly time: number
  readonly deep: boolean
}

function judge({ success, transaction }: MinedTransaction, { own, submission, tag, time, deep }: Judging): SeenTransfer {
  const refused = (reason: string, message: string): SeenTransfer => ({ state: 'refused', reason, message, deep })
  if (!success) return refused(transferFailed, 'The transaction failed on the chain, and moved nothing.')
  const { asset, payTo } = submission.requirements
  if (own === undefined) return refused('not_a_plain_transfer', plainOnly(asset))
  if (!sameAddress(own.to, payTo)) return refused('wrong_receiver', `The transaction paid ${own.to}, not ${payTo}.`)
  if (own.amount <= 0n || sameAddress(own.from, payTo)) return refused('wrong_amount', 'Nothing arrived from anybody else.')
  const carried = own.trailing.toLowerCase()
  if (carried !== '0x' && carried !== tag) return refused('foreign_reference', 'The transfer carries another reference than this.')
  const { from: payer, amount, logIndex } = own
  const log = logIndex === undefined ? {} : { logIndex }
  return { state: 'paid', transaction, payer, amount, tagged: carried === tag, time, deep, ...log }
}

function plainOnly(asset: string): string {
  return `Only a plain transfer of ${asset} that its sender made himself is taken, and none that a contract or a contract wallet made of it: another could have paid for something else as well.`
}

// As far back as nodes tell logs at once; longer than a challenge lives on all but the fastest chains.
const searchedBlocks = 2_000n
const mostRead = 32

/** The transactions of late that moved just this much of a token to its payee, newest first. */
async function equalTransfers(
  rpc: Rpc,
  { asset, payTo, amount }: Submission['requirements'],
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const head = await rpc.ask({ method: 'eth_blockNumber', params: [], result: quantity }, { signal })
  const fromBlock = toQuantity(head > searchedBlocks ? head - searchedBlocks : 0n)
  const filter = { address: asset, topics: [transferred, null, word(payTo)], fromBlock, toBlock: 'latest' }
  const found = await rpc.ask(
    { method: 'eth_getLogs', params: [filter], result: z.array(z.looseObject({ transactionHash: hexSchema, data: hexSchema })) },
    { signal },
  )
  const equal = found.filter(({ data }) => data !== '0x' && BigInt(data) === BigInt(amount))
  return equal
    .map(({ transactionHash }) => transactionHash)
    .reverse()
    .slice(0, mostRead)
}
