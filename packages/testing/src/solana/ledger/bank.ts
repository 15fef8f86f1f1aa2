import { type Address, type EncodedAccount, getAddressDecoder, type MaybeEncodedAccount } from '@solana/kit'
import { Clock, FailedTransactionMetadata, LiteSVM, type TransactionMetadata } from 'litesvm'
import { readMint, readToken, type TokenBalance, uiAmount } from '../tokens.ts'
import { type Failure, failureOf } from './failure.ts'
import { feeOf } from './fee.ts'
import { createHistory, type History } from './history.ts'
import { createJournal } from './journal.ts'
import { advanced, nonceAccountOf, storedNonce } from './nonce.ts'
import { blockhashBlocks, type Commitment, type Slots } from './slots.ts'
import { type Key, keysOf, type ReadTransaction } from './transaction.ts'

/** An instruction that a program called, in the numbers of its transaction's accounts. */
export type InnerInstruction = {
  readonly programIdIndex: number
  readonly accounts: readonly number[]
  readonly data: Uint8Array
  readonly stackHeight: number
}

/** What running a transaction left behind besides its accounts. */
export type Trace = {
  readonly logs: readonly string[]
  readonly units: bigint
  readonly inner: readonly { readonly index: number; readonly instructions: readonly InnerInstruction[] }[]
  readonly returned: { readonly programId: Address; readonly data: Uint8Array } | null
}

/** A transaction run against the newest accounts and undone. */
export type Simulation = { readonly failure: Failure | null; readonly trace: Trace; readonly accounts: readonly EncodedAccount[] }

/** A transaction that a block holds, whether or not it succeeded. */
export type Entry = {
  readonly read: ReadTransaction
  readonly signature: string
  readonly slot: bigint
  readonly blockTime: number
  readonly failure: Failure | null
  readonly trace: Trace
  readonly fee: bigint
  readonly keys: readonly Key[]
  readonly before: Holdings
  readonly after: Holdings
}

/** What the accounts of a transaction hold, in its order. */
export type Holdings = { readonly lamports: readonly bigint[]; readonly tokens: readonly TokenBalance[] }

/** What a simulation leaves unchecked. */
export type SimulationOptions = { readonly commitment: Commitment; readonly signatures: boolean; readonly blockhash: boolean }

/** The accounts and the history of a local chain. */
export type Bank = {
  readonly history: History
  account(address: Address, commitment: Commitment): MaybeEncodedAccount
  accountsOf(program: Address, commitment: Commitment): EncodedAccount[]
  /** Writes an account as if it had always been so. */
  setAccount(account: EncodedAccount): void
  addProgram(program: Address, bytes: Uint8Array): void
  rentFor(space: bigint): bigint
  /** Always against the newest accounts; the commitment decides which blockhashes are known. */
  simulate(read: ReadTransaction, options: SimulationOptions): Simulation
  /**
   * Runs a transaction in the newest block. Undefined when the network would drop it: a bad signature, an unknown blockhash, a
   * duplicate, no money for the fee. With `settled` its writes are visible to every commitment at once.
   */
  submit(read: ReadTransaction, options?: { readonly settled?: boolean }): Entry | undefined
  /** Calls back after accounts were written; the answer ends that. */
  onWrite(listener: () => void): () => void
}

const noTrace: Trace = { logs: [], units: 0n, inner: [], returned: null }
const slotsPerEpoch = 432_000n

/** Opens a bank on LiteSVM. The blockhashes and the duplicates are checked here: LiteSVM alone knows one blockhash. */
export function createBank(slots: Slots): Bank {
  const svm = new LiteSVM().withBlockhashCheck(false).withTransactionHistory(0n)
  const history = createHistory(slots)
  const journal = createJournal(slots)
  const listeners = new Set<() => void>()
  const taken = new Map<string, bigint>()
  let synced = -1n

  /** Writing 512 slot hashes takes a millisecond: only before a run in a new slot. */
  const inNewestSlot = (): LiteSVM => {
    const newest = slots.slot('processed')
    if (newest === synced) return svm
    synced = newest
    // Of a nonce that advances the next value is made from it, and a block has no two.
    svm.expireBlockhash()
    const epoch = newest / slotsPerEpoch
    svm.setClock(new Clock(newest, BigInt(slots.now()), epoch, epoch + 1n, BigInt(slots.now())))
    svm.setSlotHashes(
      Array.from({ length: 512 }, (_, index) => newest - 1n - BigInt(index)).map((slot) => ({ slot, hash: slots.hashOf(slot) })),
    )
    return svm
  }
  slots.onStep(({ to }) => {
    for (const [id, slot] of taken) {
      if (slot + 2n * blockhashBlocks >= to) break
      taken.delete(id)
    }
  })
  const told = (): void => {
    for (const listener of listeners) listener()
  }
  const refusal = (read: ReadTransaction, { commitment, signatures, blockhash }: SimulationOptions): Failure | undefined => {
    if (signatures && Object.values(read.transaction.signatures).includes(null)) return 'SignatureFailure'
    if (blockhash && !slots.isValid(read.message.lifetimeToken, commitment) && livesBy(read) === undefined) return 'BlockhashNotFound'
    return taken.has(read.id) ? 'AlreadyProcessed' : undefined
  }
  /** The account whose newest nonce a transaction names in the place of a blockhash. */
  const livesBy = ({ message }: ReadTransaction): EncodedAccount | undefined => {
    const named = nonceAccountOf(message)
    const account = named === undefined ? undefined : svm.getAccount(named)
    return account?.exists && storedNonce(account) === message.lifetimeToken ? account : undefined
  }
  const holdings = (keys: readonly Key[]): Holdings => ({
    lamports: keys.map(({ address }) => svm.getBalance(address) ?? 0n),
    tokens: keys.flatMap(({ address }, accountIndex) => tokenBalance(svm, address, accountIndex)),
  })

  return {
    history,
    account: (address, commitment) => journal.get(address, commitment) ?? inNewestSlot().getAccount(address),
    accountsOf(program, commitment) {
      const earlier = journal.all(commitment)
      const changed = new Set(earlier.map(({ address }) => address))
      const unchanged = inNewestSlot()
        .getProgramAccounts(program)
        .filter(({ address }) => !changed.has(address))
      return [...unchanged, ...earlier.flatMap((account) => (account.exists && account.programAddress === program ? [account] : []))]
    },
    setAccount(account) {
      svm.setAccount(account)
      journal.forget(account.address)
      told()
    },
    addProgram: (program, bytes) => svm.addProgram(program, bytes),
    rentFor: (space) => svm.minimumBalanceForRentExemption(space),
    simulate(read, options) {
      const refused = refusal(read, options)
      if (refused !== undefined) return { failure: refused, trace: noTrace, accounts: [] }
      const result = inNewestSlot().withSigverify(options.signatures).simulateTransaction(read.transaction)
      return result instanceof FailedTransactionMetadata
        ? { failure: failureOf(result), trace: traceOf(result.meta()), accounts: [] }
        : { failure: null, trace: traceOf(result.meta()), accounts: result.postAccounts() }
    },
    submit(read, { settled = false } = {}) {
      if (refusal(read, { commitment: 'processed', signatures: true, blockhash: true }) !== undefined) return undefined
      const keys = keysOf(read.message, (address) => svm.getAccount(address))
      const writable = keys.filter((key) => key.writable).map(({ address }) => svm.getAccount(address))
      const before = holdings(keys)
      const nonce = livesBy(read)
      const result = inNewestSlot().withSigverify(true).sendTransaction(read.transaction)
      const failed = result instanceof FailedTransactionMetadata
      const after = holdings(keys)
      // A transaction that failed stands in a block if it paid for that, and nowhere if it could not.
      if (failed && before.lamports[0] === after.lamports[0]) return undefined
      const slot = slots.slot('processed')
      if (failed && nonce !== undefined) svm.setAccount(advanced(nonce, slots.hashOf(slot)))
      taken.set(read.id, slot)
      if (settled) for (const { address } of writable) journal.forget(address)
      else journal.write(writable)
      const entry: Entry = {
        read,
        signature: read.signatures[0] ?? '',
        slot,
        blockTime: slots.now(),
        failure: failed ? failureOf(result) : null,
        trace: traceOf(failed ? result.meta() : result),
        fee: feeOf(read.message),
        keys,
        before,
        after,
      }
      history.add(entry)
      told()
      return entry
    },
    onWrite(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function tokenBalance(svm: LiteSVM, address: Address, accountIndex: number): TokenBalance[] {
  const token = readToken(svm.getAccount(address))
  const mint = token && readMint(svm.getAccount(token.mint))
  if (token === undefined || mint === undefined) return []
  const { owner, programAddress: programId } = token
  return [{ accountIndex, mint: token.mint, owner, programId, uiTokenAmount: uiAmount(token.amount, mint.decimals) }]
}

function traceOf(metadata: TransactionMetadata): Trace {
  const returned = metadata.returnData()
  const data = Uint8Array.from(returned.data())
  return {
    logs: metadata.logs(),
    units: metadata.computeUnitsConsumed(),
    inner: metadata.innerInstructions().flatMap((calls, index) => {
      const instructions = calls.map((call) => ({
        programIdIndex: call.instruction().programIdIndex(),
        accounts: [...call.instruction().accounts()],
        data: Uint8Array.from(call.instruction().data()),
        stackHeight: call.stackHeight(),
      }))
      return instructions.length === 0 ? [] : [{ index, instructions }]
    }),
    returned: data.length === 0 ? null : { programId: getAddressDecoder().decode(returned.programId()), data },
  }
}
