import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { signBy } from '../houses/ours.ts'
import { ourSolanaScheme, solanaRequirements } from '../houses/solana.ts'
import { interleave } from '../measure/interleave.ts'
import { startRole, withRoles } from '../measure/role.ts'
import { atMostOfOfficial, type Context, type Figure, figureOf, type Row } from '../report/figure.ts'
import type { FacilitatorArgument, FacilitatorCalls } from '../roles/facilitator.ts'

const row = 'verify-svm'
const contenders = ['ours', 'official'] as const

/** What verifying an exact payment costs on Solana; both houses simulate each payment once. */
export const verifySvm: Row = {
  name: row,
  async run(context) {
    const chain = await startSolanaChain()
    try {
      return await verifies(context, chain)
    } finally {
      await chain.stop()
    }
  },
}

async function verifies({ rounds, share, profiles, onProgress }: Context, chain: SolanaChain): Promise<Figure[]> {
  onProgress('verifies on Solana, 16 in flight')
  const roles = contenders.map((house) => {
    const { privateKey: key } = accountOf(chain, house)
    const argument: FacilitatorArgument = { house, rpcUrl: chain.rpcUrl, key, family: 'solana', nonces: 'managed' }
    return startRole<{ url: string }, FacilitatorCalls>('facilitator', { argument, profiles, name: `${row}-${house}` })
  })
  const samples = await withRoles(roles, async () => {
    const [ours, official] = await Promise.all(roles)
    return interleave(contenders, {
      rounds,
      async run(name, { warm }) {
        const count = Math.ceil(600 * (warm ? 0.5 : 1) * share)
        const requirements = await solanaRequirements(chain, accountOf(chain, name).address)
        const signed = await signBy(ourSolanaScheme(chain.buyer.privateKey), { requirements, count })
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
    figureOf({ row, figure: 'facilitator CPU per verify', unit: 'ms', ...of('cpu') }, [atMostOfOfficial(0.25)]),
    figureOf({ row, figure: 'verifies per second, 16 in flight', unit: '/s', ...of('perSecond') }),
  ]
}

function accountOf({ facilitator, owner }: SolanaChain, house: (typeof contenders)[number]) {
  return house === 'ours' ? facilitator : owner
}
