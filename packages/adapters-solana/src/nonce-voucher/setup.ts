import { AccountRole, address, createNoopSigner, type Instruction } from '@solana/kit'
import {
  getApproveCheckedInstruction,
  getCloseAccountInstruction,
  getInitializeAccount3Instruction,
  getInitializeMultisig2Instruction,
  getRevokeInstruction,
  getTransferCheckedInstruction,
} from '@solana-program/token'
import { recentBlockhashes, splToken, system } from '../chain/programs.ts'
import { associatedTokenAddress } from '../chain/token-account.ts'
import { accountsOf, bytesOf, keeperOf, type NonceChannel, type OwnAccount, seedOf } from './channel.ts'
import { accountBytes } from './stored.ts'

/** What an account of each kind costs to keep, in lamports. */
export type Rents = Readonly<Record<OwnAccount, bigint>>

/** Money that goes into a channel's purse; atomic units. `approved` is what vouchers may take from then on, in all. */
export type Filling = { readonly amount: bigint; readonly approved: bigint; readonly decimals: number }

/** Opens a channel and fills it: all in one transaction that its payer alone signs, and whose rent is his (FS/1 §12.3, M30). */
export function openingOf(channel: NonceChannel, { rents, ...filling }: Filling & { readonly rents: Rents }): readonly Instruction[] {
  const { purse, multisig } = accountsOf(channel)
  return [
    createAccount(channel, 'multisig', rents),
    getInitializeMultisig2Instruction({
      multisig: address(multisig),
      m: 2,
      signers: [address(channel.session), address(channel.nonceAuthority)],
    }),
    createAccount(channel, 'nonce', rents),
    initializeNonce(channel),
    createAccount(channel, 'purse', rents),
    getInitializeAccount3Instruction({ account: address(purse), mint: address(channel.asset), owner: address(channel.payer) }),
    ...fillingOf(channel, filling),
  ]
}

/** Puts more into a channel's purse. An approval takes the place of the one before. */
export function fillingOf(channel: NonceChannel, { amount, approved, decimals }: Filling): readonly Instruction[] {
  const { purse, multisig } = accountsOf(channel)
  const owner = createNoopSigner(address(channel.payer))
  const common = { mint: address(channel.asset), decimals }
  return [
    getTransferCheckedInstruction({
      ...common,
      source: address(wallet(channel)),
      destination: address(purse),
      authority: owner,
      amount,
    }),
    getApproveCheckedInstruction({ ...common, source: address(purse), delegate: address(multisig), owner, amount: approved }),
  ]
}

/** Ends a channel: no voucher takes anything any more, and what is left goes back to its payer, with the rent of the purse. */
export function closingOf(
  channel: NonceChannel,
  { amount, decimals }: { readonly amount: bigint; readonly decimals: number },
): readonly Instruction[] {
  const { purse } = accountsOf(channel)
  const owner = createNoopSigner(address(channel.payer))
  const source = address(purse)
  return [
    getRevokeInstruction({ source, owner }),
    getTransferCheckedInstruction({
      source,
      mint: address(channel.asset),
      destination: address(wallet(channel)),
      authority: owner,
      amount,
      decimals,
    }),
    getCloseAccountInstruction({ account: source, destination: address(channel.payer), owner }),
  ]
}

function wallet({ payer, asset }: NonceChannel): string {
  return associatedTokenAddress({ owner: bytesOf(payer), mint: bytesOf(asset), program: splToken.bytes })
}

const createWithSeed = 3
const initializeNonceAccount = 6
const rentSysvar = 'SysvarRent111111111111111111111111111111111'

/** `CreateAccountWithSeed` of the system program: base, seed with its length, lamports, space and keeper. */
function createAccount(channel: NonceChannel, which: OwnAccount, rents: Rents): Instruction {
  const seed = new TextEncoder().encode(seedOf(channel, which))
  const data = new Uint8Array(4 + 32 + 8 + seed.length + 8 + 8 + 32)
  const view = new DataView(data.buffer)
  view.setUint32(0, createWithSeed, true)
  data.set(bytesOf(channel.payer), 4)
  view.setBigUint64(36, BigInt(seed.length), true)
  data.set(seed, 44)
  view.setBigUint64(44 + seed.length, rents[which], true)
  view.setBigUint64(52 + seed.length, BigInt(accountBytes[which]), true)
  data.set(keeperOf(which).bytes, 60 + seed.length)
  const { id, purse, multisig } = accountsOf(channel)
  const accounts = [
    { address: address(channel.payer), role: AccountRole.WRITABLE_SIGNER },
    { address: address({ nonce: id, purse, multisig }[which]), role: AccountRole.WRITABLE },
  ]
  return { programAddress: address(system.address), accounts, data }
}

/** `InitializeNonceAccount` of the system program, which names who may advance it. */
function initializeNonce(channel: NonceChannel): Instruction {
  const data = new Uint8Array(36)
  new DataView(data.buffer).setUint32(0, initializeNonceAccount, true)
  data.set(bytesOf(channel.nonceAuthority), 4)
  const accounts = [
    { address: address(accountsOf(channel).id), role: AccountRole.WRITABLE },
    { address: address(recentBlockhashes.address), role: AccountRole.READONLY },
    { address: address(rentSysvar), role: AccountRole.READONLY },
  ]
  return { programAddress: address(system.address), accounts, data }
}
