import {
  type ClientScheme,
  coinOf,
  isX402Error,
  type PaymentRequirements,
  type Prepared,
  pause,
  type SignedTransaction,
  sameAddress,
} from '@flow402x/core'
import { keyOfTransfer, referenceIn, referenceTag, transferProof, transferSight } from '@flow402x/core/transfer'
import { encodeCall } from '../chain/abi.ts'
import { isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { finalBlock } from '../chain/finality.ts'
import { readTransaction, transactionHash } from '../chain/transaction.ts'
import { type Hex, toHex } from '../crypto/bytes.ts'
import { transferStatus } from '../transfer/status.ts'
import { evmTransfers } from './see.ts'

/** What paying by `transfer-proof` on an EVM network takes. */
export type TransferProofEvmClientOptions = {
  /**
   * The network with the account that pays, as `evmChain` of `@flow402x/adapters-evm/facilitator` connects it; of several the first. It must
   * sign without sending: what a wallet sends by itself cannot be written down before.
   */
  readonly chain: EvmChain
  /** How long a transfer that was sent is waited for, in milliseconds; 300,000 unless told. */
  readonly patience?: number
  /** How long it waits between two looks at it, in milliseconds; 500 unless told. */
  readonly pollMs?: number
  /** Unix milliseconds. */
  readonly clock?: () => number
}

/**
 * Pays by transfers of a chain's coin and of its tokens that it makes itself (`transfer-proof`, DESIGN §7): signed and written down before
 * anything is sent, and sent again byte for byte until they are mined or another transaction has taken their nonce for good.
 *
 * Errors: from `prepare` `evm/unsupported-terms`, `evm/would-revert`, `evm/no-gas-money`, `evm/fee-cap`; from
 * `send` `evm/transfer-failed`, `evm/transfer-unknown`; `config/wrong-chain` and those of the RPC.
 */
export function transferProofEvmClient(options: TransferProofEvmClientOptions): ClientScheme {
  const { chain, patience = 300_000, pollMs = 500, clock = Date.now } = options
  const {
    network,
    signers: [payer = ''],
  } = chain
  const coin = coinOf(network)?.address ?? ''
  const turns = createTurns()
  const transfers = evmTransfers(chain.rpc, { network, coin, confirmations: 'finalized' })
  return {
    scheme: transferProof,
    networks: [network],
    supports: (requirements) => refuse(requirements, { network, payer }) === undefined,
    look: transferSight(transfers, { clock }).look,
    async prepare(requirements, { now, signal }) {
      const why = refuse(requirements, { network, payer, now })
      const given = referenceIn(requirements)
      if (why !== undefined || given?.deadAfter === undefined) throw evmErrors('evm/unsupported-terms', { why: why ?? noReference })
      const { reference, deadAfter } = given
      await chain.start({ signal })
      const call = callOf(requirements, { coin, tag: toHex(await referenceTag(reference)), gas: chain.maxGasPerPayment })
      // Two that are prepared at once would get one nonce, and the second would never be mined.
      const signed = await turns.take(
        async () => chain.sign([call], { signer: payer, nonce: await chain.nonce(payer, { signal }) }),
        signal,
      )
      const { transaction, bytes } = signed
      return { payload: { transaction, reference }, key: { ...keyOfTransfer(transaction, network), payer, deadAfter }, transfer: bytes }
    },
    async send(prepared, requirements, { signal } = {}) {
      const signed = writtenDown(prepared, payer)
      const until = clock() + patience
      const sending = { chain, signed, requirements, clock, signal }
      try {
        for (let sentAt = 0; !(await isMade(sending)); ) {
          if (clock() - sentAt > resendAfter && inTime(requirements, clock())) {
            await broadcast(chain, signed)
            sentAt = clock()
            turns.leave(signed.transaction)
          }
          if (clock() > until) throw evmErrors('evm/transfer-unknown', { transaction: signed.transaction })
          await pause(pollMs, signal)
        }
      } finally {
        turns.leave(signed.transaction)
      }
    },
  }
}

const resendAfter = 15_000
// How long a transfer needs at most to be mined once it was sent: later than its reference allows it would be owed back.
const sendMarginSeconds = 30

const noReference = 'extra.reference is no reference of 32 bytes in hex'

type Payer = { readonly network: string; readonly payer: string; readonly now?: number }

function refuse(requirements: PaymentRequirements, { payer, now, ...own }: Payer): string | undefined {
  const { scheme, network, asset, payTo } = requirements
  if (scheme !== transferProof || network !== own.network) return `${scheme} on ${network} is not ${transferProof} on ${own.network}`
  if (!isAddress(asset) || !isPayable(payTo)) return 'asset or payTo is no address'
  if (sameAddress(payTo, payer)) return 'the payee would be the payer'
  if (referenceIn(requirements)?.until === undefined) return noReference
  if (now !== undefined && !inTime(requirements, now * 1000)) return 'its reference is over, or so soon that a transfer could come too late'
  return undefined
}

function inTime(requirements: PaymentRequirements, now: number): boolean {
  return now / 1000 < (referenceIn(requirements)?.until ?? 0) - sendMarginSeconds
}

function callOf(
  { asset, payTo, amount }: PaymentRequirements,
  { coin, tag, gas }: { readonly coin: string; readonly tag: Hex; readonly gas: bigint },
) {
  if (sameAddress(asset, coin)) return { target: payTo, data: tag, value: BigInt(amount), gas, alone: true }
  const data = encodeCall('0xa9059cbb', [`0x${payTo.slice(2)}`, BigInt(amount)])
  return { target: asset, data: `${data}${tag.slice(2)}`, gas, alone: true }
}

function writtenDown({ transfer = '', payload }: Prepared, signer: string): SignedTransaction {
  const bytes: Hex = `0x${transfer.slice(2)}`
  const read = readTransaction(bytes)
  const transaction = transactionHash(bytes)
  if (read === undefined || transaction !== payload.transaction)
    throw evmErrors('evm/unsupported-terms', { why: 'what was written down is no transfer of this payment' })
  return { transaction, bytes, signer, nonce: read.nonce }
}

type Sending = {
  readonly chain: EvmChain
  readonly signed: SignedTransaction
  readonly requirements: PaymentRequirements
  readonly signal: AbortSignal | undefined
}

/** Whether a transfer is mined as deep as its payee asks. Errors: `evm/transfer-failed`. */
async function isMade({ chain, signed, requirements }: Sending): Promise<boolean> {
  const { transaction } = signed
  const status = await transferStatus(chain, signed)
  if (status.state === 'expired') throw evmErrors('evm/transfer-failed', { transaction, why: 'another transaction took its nonce' })
  if (status.state !== 'mined') return false
  if (!status.success) throw evmErrors('evm/transfer-failed', { transaction, why: 'it failed on the chain' })
  const asked = requirements.extra?.confirmations
  const depth = asked === 'finalized' ? asked : typeof asked === 'string' && /^\d{1,4}$/.test(asked) ? BigInt(asked) : 0n
  return (await finalBlock(chain.rpc, depth)) >= status.block
}

async function broadcast(chain: EvmChain, signed: SignedTransaction): Promise<void> {
  await chain.send(signed).catch((error: unknown) => {
    // Nodes refuse for a while what they take a moment later; whether it lives is asked of the chain.
    if (!isX402Error(error)) throw error
  })
}

// How long a nonce is kept for a transfer that was prepared and then not sent.
const turnMs = 10_000

/** Prepares the transfers of an account one after another, each once the one before was sent. */
function createTurns() {
  let last = Promise.resolve()
  const open = new Map<string, () => void>()
  return {
    async take(sign: () => Promise<SignedTransaction>, signal: AbortSignal | undefined): Promise<SignedTransaction> {
      const before = last
      let leave = () => {}
      last = new Promise((resolve) => {
        leave = resolve
      })
      try {
        await before
        signal?.throwIfAborted()
        const signed = await sign()
        const timer = setTimeout(leave, turnMs)
        if (typeof timer === 'object' && 'unref' in timer) timer.unref()
        open.set(signed.transaction, () => {
          clearTimeout(timer)
          leave()
        })
        return signed
      } catch (error) {
        leave()
        throw error
      }
    },
    leave(transaction: string): void {
      open.get(transaction)?.()
      open.delete(transaction)
    },
  }
}
