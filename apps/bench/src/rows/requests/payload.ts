import { developmentAccounts } from '@flow402x/testing'
import { interleave } from '../../measure/interleave.ts'
import { startRole, withRoles } from '../../measure/role.ts'
import { atMost, atMostOfOfficial, type Context, figureOf, type Row } from '../../report/figure.ts'
import type { PayloadArgument, PayloadCalls } from '../../roles/payload.ts'

/** What it costs to put a payment into a header and to read it, checked. */
export const codec: Row = {
  name: 'codec',
  async run(context) {
    context.onProgress('headers')
    const { ours, official } = await operations(context, { call: 'codec', contenders: { ours: native, official: peer } })
    const figure = { row: 'codec', figure: 'encode + decode + validate PAYMENT-SIGNATURE', unit: 'µs', ours, official }
    return [figureOf(figure, [atMost(12, 'µs'), atMostOfOfficial(0.25)])]
  },
}

/** What it costs a payer to make and sign one payment. */
export const sign: Row = {
  name: 'sign',
  async run(context) {
    context.onProgress('signatures')
    const samples = await operations(context, { call: 'sign', contenders: { ours: native, plain, official: peer } })
    const figure = { row: 'sign', unit: 'µs', official: samples.official }
    return [
      figureOf({ ...figure, figure: 'build and sign one exact payment, native curve', ours: samples.ours }, [
        atMost(90, 'µs'),
        atMostOfOfficial(0.25),
      ]),
      figureOf({ ...figure, figure: 'build and sign one exact payment, pure JS', ours: samples.plain }, [
        atMost(300, 'µs'),
        atMostOfOfficial(0.75),
      ]),
    ]
  },
}

type Contender = Pick<PayloadArgument, 'house' | 'curve'>
const native: Contender = { house: 'ours', curve: 'native' }
const plain: Contender = { house: 'ours', curve: 'pure JS' }
const peer: Contender = { house: 'official', curve: 'pure JS' }

type Operations<Name extends string> = { readonly call: keyof PayloadCalls; readonly contenders: Record<Name, Contender> }

async function operations<Name extends string>(
  { rounds, share, profiles }: Context,
  { call, contenders }: Operations<Name>,
): Promise<Record<Name, number[]>> {
  const [, , seller, buyer] = developmentAccounts
  // The keys of a literal record are its names.
  const names = Object.keys(contenders) as Name[]
  const roles = names.map((name) => {
    const argument = { ...contenders[name], key: buyer?.privateKey ?? '0x', payTo: seller?.address ?? '' } satisfies PayloadArgument
    return startRole<unknown, PayloadCalls>('payload', { argument, profiles, name: `${call}-${name}` })
  })
  const count = Math.ceil((call === 'codec' ? 20_000 : 2000) * share)
  return withRoles(roles, () =>
    interleave(names, { rounds, run: async (name) => (await roles[names.indexOf(name)])?.call(call, count) ?? Number.NaN }),
  )
}
