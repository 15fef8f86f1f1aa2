import {
  AccountRole,
  type Address,
  address,
  appendTransactionMessageInstructions,
  createKeyPairSignerFromBytes,
  createTransactionMessage,
  generateKeyPairSigner,
  getBase58Encoder,
  getTransactionEncoder,
  type Instruction,
  lamports,
  pipe,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from '@solana/kit'
import { findAssociatedTokenPda, getCreateAssociatedTokenIdempotentInstructionAsync, getMintToInstruction } from '@solana-program/token'
import { solanaOwner } from './accounts.ts'
import type { Bank } from './ledger/bank.ts'
import { failureText } from './ledger/failure.ts'
import type { Slots } from './ledger/slots.ts'
import { readTransaction } from './ledger/transaction.ts'
import { refuse } from './refusal.ts'
import { readMint, readToken } from './tokens.ts'

/** Moves money by transactions of its own, so that it stands in the history like any other. */
export type Purse = {
  /** Gives SOL and the signature; with `settled` it is visible to every commitment at once. */
  airdrop(to: Address, lamports: bigint, options?: Settled): Promise<string>
  /** Opens the associated token account where it is missing, and gives its address. */
  createTokenAccount(owner: Address, mint: Address): Promise<Address>
  mint(to: Address, amount: bigint, options: { readonly mint: Address }): Promise<void>
  /** Of the associated token account; nothing where there is none. */
  balanceOf(owner: Address, mint: Address): Promise<bigint>
}

type Settled = { readonly settled?: boolean }

const wealth = 500_000_000_000_000_000n
const system = address('11111111111111111111111111111111')
const memo = address('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr')

/** Opens a purse with 500 million SOL, whose tokens the development account `owner` mints. */
export async function createPurse(bank: Bank, slots: Slots): Promise<Purse> {
  const payer = await generateKeyPairSigner()
  const authority = await createKeyPairSignerFromBytes(getBase58Encoder().encode(solanaOwner.privateKey))
  bank.setAccount({
    address: payer.address,
    lamports: lamports(wealth),
    programAddress: system,
    data: new Uint8Array(),
    executable: false,
    space: 0n,
  })
  let sent = 0

  const send = async (instructions: readonly Instruction[], { settled = true }: Settled = {}): Promise<string> => {
    sent += 1
    // Two equal transactions of one slot would be one.
    const unique = { programAddress: memo, data: new TextEncoder().encode(`local chain ${sent}`) }
    const message = pipe(
      createTransactionMessage({ version: 0 }),
      (empty) => setTransactionMessageFeePayerSigner(payer, empty),
      (paid) => setTransactionMessageLifetimeUsingBlockhash(slots.lifetime('processed'), paid),
      (living) => appendTransactionMessageInstructions([...instructions, unique], living),
    )
    const wire = getTransactionEncoder().encode(await signTransactionMessageWithSigners(message))
    const entry = bank.submit(readTransaction(Uint8Array.from(wire)), { settled })
    if (entry === undefined) throw refuse('preflight', 'the transaction of the local purse was dropped')
    if (entry.failure !== null) throw refuse('preflight', failureText(entry.failure))
    return entry.signature
  }
  const tokenProgramOf = (mint: Address): Address => {
    const account = bank.account(mint, 'processed')
    if (!account.exists || readMint(account) === undefined) throw refuse('invalidParameters', `there is no mint at ${mint}`)
    return account.programAddress
  }
  const open = async (owner: Address, mint: Address) => {
    const tokenProgram = tokenProgramOf(mint)
    const [ata] = await findAssociatedTokenPda({ owner, mint, tokenProgram })
    return {
      tokenProgram,
      ata,
      opening: await getCreateAssociatedTokenIdempotentInstructionAsync({ payer, owner, mint, tokenProgram, ata }),
    }
  }

  return {
    airdrop: (to, amount, options) => send([transferSol(payer.address, to, amount)], options),
    async createTokenAccount(owner, mint) {
      const { ata, opening } = await open(owner, mint)
      await send([opening])
      return ata
    },
    async mint(to, amount, { mint }) {
      const { ata, opening, tokenProgram } = await open(to, mint)
      await send([opening, getMintToInstruction({ mint, token: ata, mintAuthority: authority, amount }, { programAddress: tokenProgram })])
    },
    async balanceOf(owner, mint) {
      const [ata] = await findAssociatedTokenPda({ owner, mint, tokenProgram: tokenProgramOf(mint) })
      return readToken(bank.account(ata, 'processed'))?.amount ?? 0n
    },
  }
}

function transferSol(from: Address, to: Address, amount: bigint): Instruction {
  const data = new DataView(new ArrayBuffer(12))
  data.setUint32(0, 2, true)
  data.setBigUint64(4, amount, true)
  return {
    programAddress: system,
    accounts: [
      { address: from, role: AccountRole.WRITABLE_SIGNER },
      { address: to, role: AccountRole.WRITABLE },
    ],
    data: new Uint8Array(data.buffer),
  }
}
