import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { signPayments } from '../houses/ours.ts'
import { type House, type Nonces, network, price, requirementsFor, type Signed } from '../houses/terms.ts'
import { interleave } from '../measure/interleave.ts'
import { startRole, withRoles } from '../measure/role.ts'
import { atLeast, atLeastOfOfficial, atMostOfOfficial, type Context, type Figure, figureOf, median, type Row } from '../report/figure.ts'
import type { BatchResult, FacilitatorArgument, FacilitatorCalls } from '../roles/facilitator.ts'

const row = 'settle'

/** What settling costs, and what is left standing when some payments fail. */
export const settle: Row = {
  name: row,
  async run(context) {
    const chain = await startEvmChain({ network })
    try {
      return [...(await rates(context, chain)), ...(await poisoned(context, chain)), ...(await blocks(context))]
    } finally {
      await chain.stop()
    }
  },
}

type Contender = { readonly house: House; readonly nonces: Nonces }
const ways: Record<'ours' | 'managed' | 'as wired', Contender> = {
  ours: { house: 'ours', nonces: 'managed' },
  managed: { house: 'official', nonces: 'managed' },
  'as wired': { house: 'official', nonces: 'as wired' },
}
type Way = keyof typeof ways
const names: readonly Way[] = ['ours', 'managed', 'as wired']

async function rates({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<Figure[]> {
  onProgress('settlements, 32 in flight')
  const samples = await interleave(names, {
    rounds,
    warmUp: false,
    async run(name) {
      const count = Math.ceil((name === 'as wired' ? 96 : 400) * share)
      const signed = await signPayments(chain.buyer.privateKey, { requirements: requirementsFor(chain.seller.address), count })
      const result = await settleAll(chain, { way: name, signed, profiles })
      const errors = Object.values(result.reasons).reduce((sum, number) => sum + number, 0)
      return {
        perSecond: result.good === 0 ? 0 : result.good / result.seconds,
        cpu: result.cpu / Math.max(1, result.good) / 1000,
        lost: (100 * errors) / count,
        gas: await gasOf(chain, result.transactions),
      }
    },
  })
  const of = (name: Way, field: 'perSecond' | 'cpu' | 'lost' | 'gas') => samples[name].map((one) => one[field])
  return [
    figureOf(
      {
        row,
        figure: 'settled per second, 32 in flight, automine',
        unit: '/s',
        ours: of('ours', 'perSecond'),
        official: of('managed', 'perSecond'),
        note: "official with viem's nonce manager",
      },
      [atLeastOfOfficial(8)],
    ),
    figureOf({
      row,
      figure: 'settled per second, 32 in flight, automine',
      unit: '/s',
      ours: of('ours', 'perSecond'),
      official: of('as wired', 'perSecond'),
      note: 'official as wired in its examples',
    }),
    figureOf(
      {
        row,
        figure: 'lost of those',
        unit: '%',
        ours: of('ours', 'lost'),
        official: of('as wired', 'lost'),
        note: `official as wired; with the nonce manager ${median(of('managed', 'lost')).toFixed(0)} %`,
      },
      [{ text: 'no error', kind: 'ratio', meets: ({ ours }) => ours === 0 }],
    ),
    figureOf({ row, figure: 'facilitator CPU per settlement', unit: 'ms', ours: of('ours', 'cpu'), official: of('managed', 'cpu') }),
    figureOf({ row, figure: 'gas per payment', unit: 'gas', ours: of('ours', 'gas'), official: of('managed', 'gas') }, [
      atMostOfOfficial(0.75),
    ]),
  ]
}

/** One payment in ten comes from a payer who can pay one of the two it signed: which of them fails is seen only on chain. */
async function poisoned({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<Figure[]> {
  onProgress('settlements, one in ten poisoned')
  const contenders = ['ours', 'managed'] as const
  const samples = await interleave(contenders, {
    rounds: Math.min(rounds, 3),
    warmUp: false,
    async run(way) {
      const count = Math.max(20, Math.ceil(200 * share))
      const { signed, good } = await poisonedBatch(chain, count)
      const result = await settleAll(chain, { way, signed, profiles })
      return (100 * result.good) / good
    },
  })
  return [
    figureOf(
      {
        row,
        figure: 'settled of the good ones, 10 % poisoned',
        unit: '%',
        ours: samples.ours,
        official: samples.managed,
        note: "official with viem's nonce manager",
      },
      [{ ...atLeast(100, '%'), kind: 'ratio' }],
    ),
  ]
}

async function poisonedBatch(chain: EvmChain, count: number): Promise<{ readonly signed: Signed[]; readonly good: number }> {
  const requirements = requirementsFor(chain.seller.address)
  const signed: Signed[] = []
  let bad = 0
  while (signed.length < count) {
    signed.push(...(await signPayments(chain.buyer.privateKey, { requirements, count: 8 })))
    const key = generatePrivateKey()
    await chain.mint(privateKeyToAddress(key), price.atomic)
    signed.push(...(await signPayments(key, { requirements, count: 2 })))
    bad += 1
  }
  return { signed, good: signed.length - bad }
}

type Settling = {
  readonly way: Way
  readonly signed: readonly Signed[]
  readonly profiles: string | undefined
  readonly most?: number
  readonly deadline?: number
}

// A facilitator of its own for each batch: one that wedged would tell nothing about the next. It settles so many first that its code is
// compiled; as wired, each of them waits a second or more for its receipt.
const warmUp = { count: 64, most: 8 }
const shortWarmUp = { count: 4, most: 1 }

async function settleAll(chain: EvmChain, { way, signed, profiles, most = 32, deadline = 12_000 }: Settling): Promise<BatchResult> {
  const { privateKey: key } = way === 'ours' ? chain.facilitator : way === 'managed' ? chain.owner : spare(chain)
  const argument: FacilitatorArgument = { ...ways[way], rpcUrl: chain.rpcUrl, key }
  const name = `${row}-${way.replace(' ', '-')}`
  const role = startRole<{ url: string }, FacilitatorCalls>('facilitator', { argument, profiles, name })
  return withRoles([role], async () => {
    const facilitator = await role
    const requirements = requirementsFor(chain.seller.address)
    const { count, most: atOnce } = way === 'as wired' ? shortWarmUp : warmUp
    const first = await signPayments(chain.buyer.privateKey, { requirements, count: Math.min(count, signed.length) })
    await facilitator.call('settle', { signed: first, most: atOnce, deadline: 30_000 })
    return facilitator.call('settle', { signed, most, deadline })
  })
}

function spare(chain: EvmChain) {
  return chain.accounts[9] ?? chain.owner
}

/** The gas of all transactions over the payments they settled. */
async function gasOf(chain: EvmChain, transactions: readonly string[]): Promise<number> {
  const receipts = await Promise.all([...new Set(transactions)].map((transaction) => receiptOf(chain, transaction)))
  return receipts.reduce((sum, { gasUsed }) => sum + Number(gasUsed), 0) / Math.max(1, transactions.length)
}

async function receiptOf(chain: EvmChain, transaction: string): Promise<{ readonly gasUsed: string; readonly blockNumber: string }> {
  // JSON-RPC says so of a transaction that is mined, which these are.
  return (await chain.rpc('eth_getTransactionReceipt', [transaction])) as { gasUsed: string; blockNumber: string }
}

const waiting = 1000

/** A chain as they are outside: a block each second, and so many payers, each unknown and with one payment, that ask all at once. */
async function blocks({ rounds, share, profiles, onProgress }: Context): Promise<Figure[]> {
  onProgress('settlements, 1 s blocks')
  const keys = Array.from({ length: Math.ceil(waiting * share) }, generatePrivateKey)
  const balances = keys.map((key) => ({ address: privateKeyToAddress(key), usdc: 1000n * price.atomic }))
  const chain = await startEvmChain({ network, blockTime: 1, balances })
  try {
    const samples = await interleave(['ours', 'managed'] as const, {
      rounds: Math.min(rounds, 3),
      warmUp: false,
      async run(way) {
        const order = { requirements: requirementsFor(chain.seller.address), count: 1 }
        const signed = (await Promise.all(keys.map((key) => signPayments(key, order)))).flat()
        const { transactions } = await settleAll(chain, {
          way,
          signed,
          profiles,
          most: waiting,
          deadline: 60_000,
        })
        const perBlock = new Map<string, number>()
        for (const transaction of transactions) {
          const { blockNumber } = await receiptOf(chain, transaction)
          perBlock.set(blockNumber, (perBlock.get(blockNumber) ?? 0) + 1)
        }
        return Math.max(0, ...perBlock.values())
      },
    })
    const figure = `settled in the fullest 1 s block, ${waiting.toLocaleString('en-US')} payers waiting`
    return [figureOf({ row, figure, unit: '', ours: samples.ours, official: samples.managed }, [atLeast(900, 'per block')])]
  } finally {
    await chain.stop()
  }
}
