import { exactSolanaClient, secretKeySender } from '@flow402x/adapters-solana/client'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import {
  type Address,
  address,
  createKeyPairSignerFromPrivateKeyBytes,
  createSolanaRpc,
  getBase58Decoder,
  getBase58Encoder,
  type Signature,
} from '@solana/kit'
import type { Rail, RailPlan, Transfer, Wallet } from './rail.ts'

/** Payments by `exact` on Solana. */
export const solana: RailPlan = { name: 'on Solana', start: async () => solanaRail(await startSolanaChain()) }

const manyLamports = 1_000_000_000n

function solanaRail(chain: SolanaChain): Rail {
  const { network, rpcUrl } = chain
  return {
    network,
    rpcUrl,
    async newPayer() {
      const payer = await newWallet()
      await chain.mint(address(payer.address), 1_000_000n)
      return payer
    },
    async newSigner() {
      const signer = await newWallet()
      await chain.airdrop(address(signer.address), manyLamports)
      return signer
    },
    async newPayee() {
      const payee = await newWallet()
      await chain.createTokenAccount(address(payee.address))
      return payee.address
    },
    client: ({ privateKey }) => exactSolanaClient({ signer: secretKeySender(privateKey) }),
    server: (payTo) => exactSolanaServer({ network, rpcUrl, payTo }),
    transfersTo: (payTo) => transfersTo(chain, address(payTo)),
    spells: (payer, signer) => [payer.address, spelledInBase64(payer.address, signer)],
    // Transactions of Solana stand by themselves.
    hasGap: async () => false,
    stop: () => chain.stop(),
  }
}

async function newWallet(): Promise<Wallet> {
  const seed = crypto.getRandomValues(new Uint8Array(32))
  return { address: (await createKeyPairSignerFromPrivateKeyBytes(seed)).address, privateKey: getBase58Decoder().decode(seed) }
}

/**
 * Two signatures and their count, four bytes of header and the count of accounts come before the fee payer and the payer: from the
 * fee payer's last byte on, three bytes are four letters.
 */
function spelledInBase64(payer: string, feePayer: string): string {
  const bytes = getBase58Encoder()
  return Buffer.from([...bytes.encode(feePayer).slice(31), ...bytes.encode(payer)]).toString('base64')
}

async function transfersTo(chain: SolanaChain, payTo: Address): Promise<readonly Transfer[]> {
  const rpc = createSolanaRpc(chain.rpcUrl)
  const account = await chain.createTokenAccount(payTo)
  const entries = await rpc.getSignaturesForAddress(account, { commitment: 'confirmed' }).send()
  const transfers = await Promise.all(entries.map(({ signature }) => transferIn(rpc, signature, payTo)))
  return transfers.flat()
}

async function transferIn(rpc: ReturnType<typeof createSolanaRpc>, signature: Signature, payTo: Address): Promise<readonly Transfer[]> {
  const config = { encoding: 'jsonParsed', commitment: 'confirmed', maxSupportedTransactionVersion: 0 } as const
  const meta = (await rpc.getTransaction(signature, config).send())?.meta
  const held = (of: (owner: Address | undefined) => boolean, when: 'preTokenBalances' | 'postTokenBalances'): bigint =>
    (meta?.[when] ?? []).reduce((sum, { owner, uiTokenAmount }) => sum + (of(owner) ? BigInt(uiTokenAmount.amount) : 0n), 0n)
  const value = held((owner) => owner === payTo, 'postTokenBalances') - held((owner) => owner === payTo, 'preTokenBalances')
  const from = meta?.preTokenBalances?.find(({ owner }) => owner !== payTo)?.owner
  return meta?.err == null && from !== undefined && value > 0n ? [{ from, value, transaction: signature }] : []
}
