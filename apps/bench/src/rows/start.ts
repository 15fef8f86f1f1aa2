import { fileURLToPath } from 'node:url'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { build } from 'esbuild'
import { buildPackages } from '../measure/build.ts'
import { openChannelShop } from '../measure/channel-shop.ts'
import { interleave } from '../measure/interleave.ts'
import { hammer } from '../measure/load.ts'
import { type Role, startFile, startRole, withRoles } from '../measure/role.ts'
import type { ProgramArgument } from '../programs/announce.ts'
import { absent, atMost, atMostOfOfficial, type Context, type Figure, figureOf, type Row } from '../report/figure.ts'

const row = 'start'
const programs = ['bare', 'our-seller', 'official-seller', 'mppx-seller', 'our-facilitator', 'official-facilitator'] as const
const channelSellers = ['our-channel-seller', 'official-channel-seller'] as const
type Program = (typeof programs)[number]
type Started = { readonly milliseconds: number; readonly idle: number; readonly used: number }

/** How long built packages take from the start of the process until they listen, and the memory they hold. */
export const start: Row = {
  name: row,
  async run(context) {
    context.onProgress('building the packages')
    const failure = await buildPackages()
    if (failure !== undefined) return [absent({ row, figure: 'start to listening, and memory', note: failure })]
    await build({
      entryPoints: [...programs, ...channelSellers].map((name) => fileURLToPath(new URL(`../programs/${name}.ts`, import.meta.url))),
      outdir: compiled,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      packages: 'external',
      platform: 'node',
      format: 'esm',
    })
    const chain = await startEvmChain({ network: 'eip155:84532' })
    const stub = startRole<{ url: string }>('stub', { argument: {} })
    try {
      const started = await withRoles([stub], async () => figures(await starts(context, chain, (await stub).ready.url)))
      return [...started, await afterVouchers(context, chain)]
    } finally {
      await chain.stop()
    }
  },
}

// Below this app, so that its imports resolve as the app's do; without the condition `@flow402x/source` they are the built ones.
const compiled = fileURLToPath(new URL('../../node_modules/.bench', import.meta.url))

async function starts(
  { rounds, share, onProgress }: Context,
  chain: EvmChain,
  facilitatorUrl: string,
): Promise<Record<Program, Started[]>> {
  onProgress('start to listening, and memory')
  return interleave(programs, {
    rounds,
    async run(name, { warm }) {
      const { privateKey: key } = name === 'our-facilitator' ? chain.facilitator : chain.owner
      const argument: ProgramArgument = { facilitatorUrl, rpcUrl: chain.rpcUrl, key, payTo: chain.seller.address }
      const began = performance.now()
      const role = startFile<{ url: string }>(`${compiled}/${name}.mjs`, { argument })
      return withRoles([role], async () => {
        const { ready, usage } = await role
        const milliseconds = performance.now() - began
        const idle = megabytes(await usage())
        if (!warm && !name.endsWith('facilitator')) await load(ready.url, Math.ceil(10_000 * share))
        return { milliseconds, idle, used: megabytes(await usage()) }
      })
    },
  })
}

/** The memory of sellers whose 10,000 requests were paid over channels; one sample each, for the official one takes a minute. */
async function afterVouchers({ share, onProgress }: Context, chain: EvmChain): Promise<Figure> {
  onProgress('memory after 10,000 vouchers')
  const memory: number[] = []
  for (const [index, name] of channelSellers.entries()) {
    const { privateKey: key, address: payTo } = chain.seller
    const argument: ProgramArgument = { facilitatorUrl: '', rpcUrl: chain.rpcUrl, key, payTo }
    const role = startFile<{ url: string }>(`${compiled}/${name}.mjs`, { argument })
    await withRoles([role], async () => {
      const seller = await role
      const shop = await openChannelShop(chain, { seller, payers, salt: BigInt(index * payers) })
      await shop.perCore(Math.ceil(10_000 * share))
      memory.push(megabytes(await seller.usage()))
    })
  }
  const [ours = Number.NaN, official = Number.NaN] = memory
  return figureOf({ row, figure: 'seller, memory after 10,000 vouchers', unit: 'MiB', ours: [ours], official: [official] }, [
    atMostOfOfficial(0.8),
  ])
}

const payers = 8

async function load(url: string, requests: number): Promise<void> {
  await hammer({ url: `${url}/goods`, requests, connections: 16, status: 402 })
}

function megabytes({ memory }: Awaited<ReturnType<Role<unknown, Record<never, never>>['usage']>>): number {
  return memory / 2 ** 20
}

function figures(samples: Record<Program, Started[]>): Figure[] {
  const sides = (part: 'seller' | 'facilitator', field: keyof Started) => ({
    ours: samples[`our-${part}`].map((one) => one[field]),
    official: samples[`official-${part}`].map((one) => one[field]),
    ...(part === 'seller' ? { mppx: samples['mppx-seller'].map((one) => one[field]) } : {}),
    floor: samples.bare.map((one) => one[field]),
    note: 'floor: bare Express',
  })
  const memory = [atMostOfOfficial(0.8)]
  return [
    figureOf({ row, figure: 'seller, start to listening', unit: 'ms', ...sides('seller', 'milliseconds') }),
    figureOf({ row, figure: 'facilitator, start to listening', unit: 'ms', ...sides('facilitator', 'milliseconds') }, [atMost(300, 'ms')]),
    figureOf({ row, figure: 'seller, memory idle', unit: 'MiB', ...sides('seller', 'idle') }, memory),
    figureOf({ row, figure: 'facilitator, memory idle', unit: 'MiB', ...sides('facilitator', 'idle') }, memory),
    figureOf({ row, figure: 'seller, memory after 10,000 challenges', unit: 'MiB', ...sides('seller', 'used') }, memory),
  ]
}
