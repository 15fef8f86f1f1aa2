import { decodeBase58, encodeBase58 } from './base58.ts'

/** A program that a payment may name: its address as text and as bytes. */
export type Program = { readonly address: string; readonly bytes: Uint8Array }

const programAt = (address: string): Program => ({ address, bytes: decodeBase58(address) ?? new Uint8Array(32) })

/** SPL Token, which owns USDC's mint (wire.md §14). */
export const splToken: Program = programAt('TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA')

/** Token-2022, whose mints may have extensions. */
export const token2022: Program = programAt('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb')

/** Associated Token, from which an owner's account for a mint is derived. */
export const associatedToken: Program = programAt('ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL')

/** Compute Budget: how much a transaction may compute, and at what price. */
export const computeBudget: Program = programAt('ComputeBudget111111111111111111111111111111')

/** Memo, version 2. */
export const memo: Program = programAt('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr')

/** Lighthouse: assertions that wallets add to what they sign. */
export const lighthouse: Program = programAt('L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95')

/** System: accounts, lamports and durable nonces. */
export const system: Program = { address: encodeBase58(new Uint8Array(32)), bytes: new Uint8Array(32) }

/** The sysvar that a nonce is made from. */
export const recentBlockhashes: Program = programAt('SysvarRecentB1ockHashes11111111111111111111')
