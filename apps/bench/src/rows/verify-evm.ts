import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { signPayments } from '../houses/ours.ts'
import { network, requirementsFor, type Signed } from '../houses/terms.ts'
import { interleave } from '../measure/interleave.ts'
import { type Role, startRole, withRoles } from '../measure/role.ts'
import { atLeastOfOfficial, atMost, type Context, counted, type Figure, figureOf, median, type Row } from '../report/figure.ts'
import type { FacilitatorArgument, FacilitatorCalls } from '../roles/facilitator.ts'
import type { ProxyArgument, ProxyCalls } from '../roles/rpc-proxy.ts'

const row = 'verify-evm'
const contenders = ['ours', 'official'] as const

/** What verifying an exact payment costs on an EVM chain. */
export const verifyEvm: Row = {
  name: row,
  async run(context) {
    const chain = await startEvmChain({ network })
    try {
      return [...(await throughput(context, chain)), ...(await roundTrips(context, chain))]
    } finally {
      await chain.stop()
    }
  },
}

async function throughput({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<Figure[]> {
  onProgress('verifies, 16 in flight')
  const roles = facilitators(chain, { rpcUrl: chain.rpcUrl, profiles })
  const samples = await withRoles(roles, async () => {
    const [ours, official] = await Promise.all(roles)
    return interleave(contenders, {
      rounds,
      async run(name, { warm }) {
        const count = Math.ceil((name === 'ours' ? 2400 : 600) * (warm ? 0.5 : 1) * share)
        const signed = await payments(chain, count)
        const result = await (name === 'ours' ? ours : official)?.call('verify', { signed, most: 16 })
        if (result?.good !== count) throw new Error(`${name} verified ${result?.good} of ${count}: ${JSON.stringify(result?.reasons)}`)
        return { perSecond: count / result.seconds, cpu: result.cpu / count / 1000 }
      },
    })
  })
  const of = (field: 'perSecond' | 'cpu') => ({
    ours: samples.ours.map((one) => one[field]),
    official: samples.official.map((one) => one[field]),
  })
  return [
    figureOf({ row, figure: 'verifies per second, 16 in flight', unit: '/s', ...of('perSecond') }, [atLeastOfOfficial(5)]),
    figureOf({ row, figure: 'facilitator CPU per verify', unit: 'ms', ...of('cpu') }),
  ]
}

async function roundTrips({ rounds, share, profiles, onProgress }: Context, chain: EvmChain): Promise<Figure[]> {
  onProgress('verifies, each RPC round trip taking 20 ms')
  const argument: ProxyArgument = { rpcUrl: chain.rpcUrl }
  const proxy = startRole<{ url: string }, ProxyCalls>('rpc-proxy', { argument })
  const roles = facilitators(chain, { rpcUrl: (await proxy).ready.url, profiles })
  const samples = await withRoles([proxy, ...roles], async () => {
    const [ours, official] = await Promise.all(roles)
    await (await proxy).call('delay', 20)
    return interleave(contenders, {
      rounds,
      async run(name) {
        const count = Math.max(5, Math.ceil(20 * share))
        const facilitator = name === 'ours' ? ours : official
        await (await proxy).call('seen', null)
        const one = await facilitator?.call('verify', { signed: await payments(chain, count), most: 1 })
        const alone = await (await proxy).call('seen', null)
        await facilitator?.call('verify', { signed: await payments(chain, count * 8), most: 16 })
        const loaded = await (await proxy).call('seen', null)
        return { latency: median(one?.latencies ?? []), alone: alone.roundTrips / count, loaded: loaded.roundTrips / (count * 8) }
      },
    })
  })
  const of = (field: 'latency' | 'alone' | 'loaded') => ({
    ours: samples.ours.map((one) => one[field]),
    official: samples.official.map((one) => one[field]),
  })
  return [
    figureOf({ row, figure: 'latency where each RPC takes 20 ms', unit: 'ms', ...of('latency') }, [atMost(25, 'ms')]),
    figureOf({ row, figure: 'RPC round trips per verify, one at a time', unit: '', ...of('alone') }, [counted(1, 'round trip')]),
    figureOf({ row, figure: 'RPC round trips per verify, 16 in flight', unit: '', ...of('loaded') }, [counted(1, 'round trip')]),
  ]
}

type Wiring = { readonly rpcUrl: string; readonly profiles: string | undefined }

function facilitators(chain: EvmChain, { rpcUrl, profiles }: Wiring): Promise<Role<{ url: string }, FacilitatorCalls>>[] {
  return contenders.map((house) => {
    const { privateKey: key } = house === 'ours' ? chain.facilitator : chain.owner
    const argument: FacilitatorArgument = { house, rpcUrl, key, nonces: 'managed' }
    return startRole<{ url: string }, FacilitatorCalls>('facilitator', { argument, profiles, name: `${row}-${house}` })
  })
}

function payments(chain: EvmChain, count: number): Promise<Signed[]> {
  return signPayments(chain.buyer.privateKey, { requirements: requirementsFor(chain.seller.address), count })
}
