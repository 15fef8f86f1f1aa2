import { randomBytes } from 'node:crypto'
import { batchSettlementClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { type Client, createClient, streamWallet } from '@flow402x/client'
import { formatAmount, isX402Error } from '@flow402x/core'
import { memoryStore } from '@flow402x/store/memory'
import { payStream } from '@flow402x/stream/client'
import type { Dev } from 'flow402x'

type Telling = { readonly title: string; readonly say: (line: string) => void }
type Chain = Dev['chains'][number]
/** What flowed in one reading. Amounts are atomic. */
type Flow = { readonly bytes: bigint; readonly paid: bigint; readonly signed: bigint; readonly end: string }

const path = '/video.mp4'
// Two seconds of the video, and what comes when they are over.
const [purse, more] = [20_000n, 50_000n]
// As often it is told how they stand: each time that so much more is paid (atomic).
const step = 4000n
const agreed = 'as agreed, after two seconds more'

/**
 * A video by the second, read by a wallet that holds two seconds' money: what comes and what it costs, side by side, until the wallet is
 * empty; and on from there, when there is money again.
 */
export async function watchByTheSecond({ chains: [chain], world }: Dev, { title, say }: Telling): Promise<void> {
  if (chain === undefined) throw new Error('the local world lacks a chain')
  say(`${title}: GET ${path} for 0.01 USD/second`)
  const buyer = await newBuyer(chain)
  const url = `${world.seller.url}${path}`
  await chain.mint(buyer.address, purse)
  say(`  wallet holds ${usdc(purse)}`)
  const first = await watch(buyer.client('$0.02'), { url, say })
  if (first.end === agreed || (await chain.balanceOf(buyer.address)) !== 0n) throw new Error('the wallet is not empty')
  await chain.mint(buyer.address, more)
  say(`  wallet is filled, and holds ${usdc(more)}: the film goes on where it stopped`)
  const second = await watch(buyer.client('$0.05'), { url, seconds: '2', from: first.bytes, say })
  const paid = first.paid + second.paid
  say(`  in all ${kilobytes(first.bytes + second.bytes)} for ${usdc(paid)}; what was deposited and not used stays the buyer's\n`)
  const isRight = [first, second].every((flow) => flow.bytes > 0n && flow.paid > 0n && flow.paid <= flow.signed)
  if (!isRight || first.paid > purse || second.paid > more || second.end !== agreed) {
    throw new Error('the stream does not agree with its money')
  }
}

/** A wallet that nobody knows, with gas to leave its channel again: a client for each cap of what may lie in channels. */
async function newBuyer(chain: Chain): Promise<{ client(maxDeposit: string): Client; readonly address: `0x${string}` }> {
  const { network, rpcUrl } = chain
  const privateKey = `0x${randomBytes(32).toString('hex')}`
  const signer = privateKeySigner(privateKey)
  await chain.rpc('anvil_setBalance', [signer.address, '0xde0b6b3a7640000'])
  const chains = [evmChain({ network, rpcUrl, signers: [privateKey] })]
  const store = memoryStore()
  return {
    // The signer of a key of an EVM chain has an address of one.
    address: signer.address as `0x${string}`,
    client(maxDeposit) {
      const scheme = batchSettlementClient({ signer, store, chains, maxDeposit })
      return createClient({ schemes: [scheme], store, budget: { total: '$1' } })
    },
  }
}

type Watching = { readonly url: string; readonly seconds?: string; readonly from?: bigint; readonly say: (line: string) => void }

async function watch(client: Client, { url, seconds, from = 0n, say }: Watching): Promise<Flow> {
  const init = { headers: { range: `bytes=${from}-` } }
  const stream = await payStream({
    wallet: streamWallet(client),
    url,
    ...(from > 0n && { init }),
    ...(seconds === undefined ? {} : { units: seconds }),
  })
  let [bytes, told, end] = [0n, 0n, agreed]
  try {
    for await (const chunk of stream) {
      if (chunk instanceof Uint8Array) bytes += BigInt(chunk.length)
      const { consumed, signed } = stream.standing()
      if (consumed - told < step) continue
      told = consumed
      say(`  flows  ${kilobytes(bytes)} ${`for ${usdc(consumed)}`.padEnd(17)} of ${usdc(signed)} signed`)
    }
  } catch (error) {
    // The wallet has nothing to deposit, and the channel nothing more to draw on.
    if (!isX402Error(error, 'evm/wallet-short') && !isX402Error(error, 'evm/channel-empty')) throw error
    end = 'the wallet is empty'
  }
  const { consumed: paid, signed } = await stream.close()
  say(`  stops  ${kilobytes(bytes)} ${`for ${usdc(paid)}`.padEnd(17)} of ${usdc(signed)} signed: ${end}`)
  return { bytes, paid, signed, end }
}

function usdc(units: bigint): string {
  return formatAmount(units, { decimals: 6, symbol: 'USDC' })
}

function kilobytes(bytes: bigint): string {
  return `${(Number(bytes) / 1000).toFixed(1)} kB`.padStart(8)
}
