import { exactSolanaClient, secretKeySender, solanaReader } from '@flow402x/adapters-solana/client'
import { exactSolanaFacilitator, solanaChain } from '@flow402x/adapters-solana/facilitator'
import { exactSolanaServer } from '@flow402x/adapters-solana/server'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import {
  appendTransactionMessageInstruction,
  createKeyPairSignerFromBytes,
  createSolanaRpc,
  createTransactionMessage,
  getBase58Encoder,
  getBase64EncodedWireTransaction,
  type KeyPairSigner,
  pipe,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signature,
  signTransactionMessageWithSigners,
} from '@solana/kit'
import { findAssociatedTokenPda, getTransferInstruction } from '@solana-program/token'
import { x402Facilitator } from '@x402/core/facilitator'
import { x402Client } from '@x402/fetch'
import { toFacilitatorSvmSigner } from '@x402/svm'
import { ExactSvmScheme } from '@x402/svm/exact/client'
import { registerExactSvmScheme } from '@x402/svm/exact/facilitator'
import { ExactSvmScheme as ExactSvmServerScheme } from '@x402/svm/exact/server'
import { ExactSvmSchemeV1 } from '@x402/svm/v1'
import { createSigner } from 'x402-fetch'
import { startFacilitators } from '../facilitators.ts'
import type { Account, Schemes, Settlement, Transfer, World } from '../world.ts'

/** The network of the Solana rows, in both spellings. */
const network = 'solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1'
const networkV1 = 'solana-devnet'

/** Starts a Solana that carries USDC's mint, and the facilitators of both houses on it. */
export async function startSolanaWorld(): Promise<World<SolanaChain>> {
  // A purchase takes a slot or two: at the pace of the live network this would wait for most of its time.
  const chain = await startSolanaChain({ network, slotTime: 100 })
  const { rpcUrl } = chain
  const settler = chain.accounts.at(-1) ?? chain.owner
  const writer = solanaChain({ network, rpcUrl, signers: [chain.facilitator.privateKey] })
  const facilitators = await startFacilitators({
    rpcUrl,
    ours: { scheme: exactSolanaFacilitator({ chain: writer }), signer: chain.facilitator.address },
    official: { facilitator: await officialFacilitator(chain, settler), signer: settler.address },
  })
  return {
    chain,
    network,
    networkV1,
    transaction: /^[1-9A-HJ-NP-Za-km-z]{86,88}$/,
    schemes: schemesAt(rpcUrl),
    facilitators: facilitators.byName,
    // v1 clients add no memo: two equal payments under one blockhash are one transaction.
    turn: async () => void (await chain.advance()),
    settlementIn: (transaction) => settlementIn(chain, transaction),
    async close() {
      await facilitators.close()
      await chain.stop()
    },
  }
}

/** Moves all USDC of an account away, to the facilitator's, by a transaction of its own. */
export async function drain({ chain }: World<SolanaChain>, payer: Account): Promise<void> {
  const authority = await keyPair(payer.privateKey)
  const { address: mint, tokenProgram } = chain.usdc
  const [source] = await findAssociatedTokenPda({ owner: authority.address, mint, tokenProgram })
  const destination = await chain.createTokenAccount(chain.facilitator.address)
  const rpc = createSolanaRpc(chain.rpcUrl)
  const { value: lifetime } = await rpc.getLatestBlockhash().send()
  const amount = await chain.balanceOf(authority.address)
  const message = pipe(
    createTransactionMessage({ version: 0 }),
    (empty) => setTransactionMessageFeePayerSigner(authority, empty),
    (paid) => setTransactionMessageLifetimeUsingBlockhash(lifetime, paid),
    (dated) => appendTransactionMessageInstruction(getTransferInstruction({ source, destination, authority, amount }), dated),
  )
  await rpc
    .sendTransaction(getBase64EncodedWireTransaction(await signTransactionMessageWithSigners(message)), { encoding: 'base64' })
    .send()
}

function schemesAt(rpcUrl: string): Schemes {
  return {
    ourClient: (privateKey) =>
      exactSolanaClient({ signer: secretKeySender(privateKey), networks: [network], reader: solanaReader({ rpcUrl }) }),
    ourServer: (payTo) => exactSolanaServer({ network, payTo, rpcUrl }),
    async officialClient(privateKey) {
      const signer = await keyPair(privateKey)
      return new x402Client()
        .register(network, new ExactSvmScheme(signer, { rpcUrl }))
        .registerV1(networkV1, new ExactSvmSchemeV1(signer, { rpcUrl }))
    },
    officialServer: (server) => server.register(network, new ExactSvmServerScheme({ rpcUrl })),
    legacyClient: async (privateKey) => ({ signer: await createSigner(networkV1, privateKey), config: { svmConfig: { rpcUrl } } }),
  }
}

async function officialFacilitator({ rpcUrl }: SolanaChain, { privateKey }: Account): Promise<x402Facilitator> {
  const signer = toFacilitatorSvmSigner(await keyPair(privateKey), { defaultRpcUrl: rpcUrl })
  return registerExactSvmScheme(new x402Facilitator(), { signer, networks: network })
}

function keyPair(privateKey: string): Promise<KeyPairSigner> {
  return createKeyPairSignerFromBytes(getBase58Encoder().encode(privateKey))
}

/** What moved is told from the balances before and after, whoever's instruction it was. */
async function settlementIn({ rpcUrl, usdc }: SolanaChain, transaction: string): Promise<Settlement | undefined> {
  const config = { commitment: 'confirmed', encoding: 'json', maxSupportedTransactionVersion: 0 } as const
  const mined = await createSolanaRpc(rpcUrl).getTransaction(signature(transaction), config).send()
  if (mined === null || mined.meta === null || mined.meta.err !== null) return undefined
  const changes = new Map<string, bigint>()
  const note = (sign: bigint, balances: typeof mined.meta.postTokenBalances = []) => {
    for (const { owner, mint, uiTokenAmount } of balances) {
      if (mint === usdc.address && owner !== undefined) changes.set(owner, (changes.get(owner) ?? 0n) + sign * BigInt(uiTokenAmount.amount))
    }
  }
  note(-1n, mined.meta.preTokenBalances)
  note(1n, mined.meta.postTokenBalances)
  const [from = ''] = [...changes].flatMap(([owner, change]) => (change < 0n ? [owner] : []))
  const transfers = [...changes].flatMap(([to, value]): Transfer[] => (value > 0n ? [{ from, to, value }] : []))
  return { sender: mined.transaction.message.accountKeys[0] ?? '', transfers }
}
