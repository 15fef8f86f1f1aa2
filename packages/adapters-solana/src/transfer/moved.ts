import { sameBytes } from '../chain/address.ts'
import { type Depth, type MinedTransaction, readMined, type TokenChange } from '../chain/confirmation.ts'
import { memo } from '../chain/programs.ts'
import type { Rpc } from '../chain/rpc.ts'

/**
 * What a mined transaction moved, by the balances that the chain tells of it: fees that a token took on the way are off already.
 * `signers` begins with who paid the fee. A transaction that failed moved nothing but its fee.
 */
export type Moved = Pick<MinedTransaction, 'transaction' | 'success' | 'slot' | 'blockTime' | 'accounts'> & {
  readonly signers: readonly string[]
  /** The texts of its memos, in their order. */
  readonly memos: readonly string[]
  /** How an account's lamports changed; 0 for one it does not name, nothing where JSON could not tell it exactly. */
  coinChange(account: string): bigint | undefined
  /** How a token account changed, and whose it was in the end; nothing for one that holds what it held. */
  tokenChange(account: string, mint: string): TokenChange | undefined
}

/** Reads what a transaction moved; nothing for one that is not there, or not as deep. Errors: `solana/rpc`, `solana/call-failed`. */
export async function readMoved(rpc: Rpc, signature: string, depth: Depth = {}): Promise<Moved | undefined> {
  const mined = await readMined(rpc, signature, depth)
  return mined && movedBy(mined)
}

function movedBy({ transaction, success, slot, blockTime, accounts, lamports, tokens }: MinedTransaction): Moved {
  return {
    transaction,
    success,
    slot,
    blockTime,
    accounts,
    signers: accounts.slice(0, transaction.signatures.length),
    memos: transaction.instructions
      .filter(({ program }) => sameBytes(transaction.accounts[program] ?? new Uint8Array(), memo.bytes))
      .map(({ data }) => new TextDecoder().decode(data)),
    coinChange(account) {
      const at = accounts.indexOf(account)
      if (at < 0) return 0n
      const { before, after } = lamports[at] ?? { before: Number.NaN, after: Number.NaN }
      return Number.isSafeInteger(before) && Number.isSafeInteger(after) ? BigInt(after) - BigInt(before) : undefined
    },
    tokenChange: (account, mint) => (success ? tokens.find((one) => accounts[one.account] === account && one.mint === mint) : undefined),
  }
}
