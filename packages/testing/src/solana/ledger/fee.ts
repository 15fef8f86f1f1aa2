import type { ReadonlyUint8Array } from '@solana/kit'
import type { Message } from './transaction.ts'

const lamportsPerSignature = 5_000n
const microLamports = 1_000_000n
const mostUnits = 1_400_000n

const computeBudget = 'ComputeBudget111111111111111111111111111111'
const signatureChecks = [
  'Ed25519SigVerify111111111111111111111111111',
  'KeccakSecp256k11111111111111111111111111111',
  'Secp256r1SigVerify1111111111111111111111111',
]
/** Programs inside the validator, for which few compute units are set aside. */
const builtIn = [
  computeBudget,
  '11111111111111111111111111111111',
  'Vote111111111111111111111111111111111111111',
  'BPFLoader1111111111111111111111111111111111',
  'BPFLoader2111111111111111111111111111111111',
  'BPFLoaderUpgradeab1e11111111111111111111111',
  'LoaderV411111111111111111111111111111111111',
  ...signatureChecks,
]

/** What a transaction costs its fee payer, in lamports: its signatures, and its compute unit limit at the price it bids. */
export function feeOf(message: Message): bigint {
  const calls = message.instructions.map(({ programAddressIndex, data }) => ({
    program: message.staticAccounts[programAddressIndex] ?? '',
    data: data ?? new Uint8Array(),
  }))
  const checked = calls.map(({ program, data }) => (signatureChecks.includes(program) ? (data[0] ?? 0) : 0))
  const signatures = [message.header.numSignerAccounts, ...checked].reduce((sum, count) => sum + BigInt(count), 0n)
  const budget = calls.filter(({ program }) => program === computeBudget)
  const set = (kind: number, bytes: number): bigint | undefined => {
    const found = budget.find(({ data }) => data[0] === kind && data.length > bytes)
    return found && littleEndian(found.data.slice(1, 1 + bytes))
  }
  const unset = calls.reduce((sum, { program }) => sum + (builtIn.includes(program) ? 3_000n : 200_000n), 0n)
  const limit = least(set(2, 4) ?? unset, mostUnits)
  return signatures * lamportsPerSignature + (limit * (set(3, 8) ?? 0n) + microLamports - 1n) / microLamports
}

function littleEndian(bytes: ReadonlyUint8Array): bigint {
  return bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n)
}

function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other
}
