import { transferProofEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { secretKeySender, transferProofSolanaClient } from '@flow402x/adapters-solana/client'
import { createClient, receiptOf } from '@flow402x/client'
import { assetId, assetOf, formatAmount, formatNetwork } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import type { Dev } from 'flow402x'

type Telling = { readonly title: string; readonly say: (line: string) => void }

/** Buys what is priced in ether: the buyer makes the transfer himself, and the chain alone says that it was made. */
export async function payInEther({ chains: [chain], world }: Dev, { title, say }: Telling): Promise<void> {
  if (chain === undefined) throw new Error('the local world lacks a chain')
  const { network, rpcUrl, buyer, seller } = chain
  const ether = assetOf(network, 'ETH')
  const client = createClient({
    schemes: [transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [buyer.privateKey] }), pollMs: 50 })],
    store: memoryStore({ force: true }),
    budget: { caps: { [assetId(ether)]: { perPayment: '0.001', total: '0.01' } } },
    onEvent: (told) => {
      if (told.type === 'signing') say(`  402    asks ${told.terms.price} on ${formatNetwork(network)} (${told.terms.requirements.scheme})`)
    },
  })
  say(`${title}: GET /forecast`)
  const before = await chain.ethBalance(seller.address)
  const response = await client.fetch(`${world.seller.url}/forecast?place=Porto`)
  say(`  ${response.status}    ${await response.text()}`)
  const receipt = receiptOf(response)
  const moved = (await chain.ethBalance(seller.address)) - before
  say(`  paid   in transaction ${receipt?.transaction ?? 'none'} by a transfer of the buyer’s own, without a facilitator`)
  say(`  chain  seller +${formatAmount(moved, ether)}\n`)
  if (response.status !== 200 || moved !== 10n ** 14n) throw new Error('the books do not agree with the chain for /forecast')
}

/** Answers the plain challenge step by step, as any program can: read three fields, transfer, send two headers. */
export async function answerPlainChallenge({ solana, world }: Dev, { title, say }: Telling): Promise<void> {
  if (solana === undefined) throw new Error('the local world lacks a Solana')
  const { network, rpcUrl, buyer, seller } = solana
  const url = `${world.seller.url}/premium?place=Oslo`
  say(`${title}: GET /premium`)
  const payer = transferProofSolanaClient({ signer: secretKeySender(buyer.privateKey), rpcUrl, network, plain: true, pollMs: 50 })
  const asked = await fetch(url)
  const requirements = payer.readChallenge?.(await asked.json())
  if (asked.status !== 402 || requirements === undefined) throw new Error('the seller asked for nothing')
  const { payTo, amount, extra } = requirements
  say(`  402    {"receiver":"${payTo}","amount_lamports":${amount},"reference":"${String(extra?.reference).slice(0, 12)}…"}`)
  const before = await solana.solBalance(seller.address)
  const prepared = await payer.prepare(requirements, { now: Math.floor(Date.now() / 1000), maxTimeoutSeconds: 300 })
  await payer.send?.(prepared, requirements)
  const { headers = {} } = prepared
  say(`  sends  X-Payment-Signature: ${headers['X-Payment-Signature']}`)
  const response = await fetch(url, { headers })
  say(`  ${response.status}    ${await response.text()}`)
  const again = await fetch(url, { headers })
  say(`  ${again.status}    the same proof again: ${/"error":"(\w+)"/.exec(await again.text())?.[1]}`)
  const moved = (await solana.solBalance(seller.address)) - before
  say(`  chain  seller +${formatAmount(moved, assetOf(network, 'SOL'))}\n`)
  const isRight = response.status === 200 && again.status === 400 && moved === BigInt(amount)
  if (!isRight) throw new Error('the books do not agree with the chain for /premium')
}
