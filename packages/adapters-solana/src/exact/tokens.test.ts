import type { Asset } from '@flow402x/core'
import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { type Address, address, createSolanaRpc, getBase64Encoder, type KeyPairSigner } from '@solana/kit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exactSolanaFacilitator, solanaChain } from '../facilitator.ts'
import { payment, requirementsOn, signerOf } from '../fixtures/payments.ts'

const token2022 = address('TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb')

let local: SolanaChain
let payer: KeyPairSigner

beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
  payer = await signerOf(local.buyer)
})
afterAll(() => local?.stop())

function schemeFor(mint: Address, facts: Partial<Asset> = {}) {
  const { network, rpcUrl, facilitator } = local
  const asset: Asset = { network, address: mint, symbol: 'TEST', decimals: 6, transfer: 'token-2022', ...facts }
  return exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] }), assets: [asset] })
}

const failure = async (run: () => unknown): Promise<unknown> => {
  try {
    await run()
  } catch (error) {
    return error
  }
}
const code = (text: string) => expect.objectContaining({ code: text })

describe('a token of Token-2022', () => {
  const fund = async (mint: Address) => {
    await local.mint(payer.address, 1_000_000n, { mint })
    await local.createTokenAccount(local.seller.address, { mint })
  }
  const requirements = (mint: Address) => ({ ...requirementsOn(local), asset: mint })

  it('without fee and hook is paid as any other, also where it could have them', async () => {
    const mint = await local.createMint({ decimals: 6, program: 'spl-token-2022', transferFee: { basisPoints: 0, maximum: 0n } })
    await fund(mint)
    const submission = await payment({ local, payer }, { requirements: requirements(mint), program: token2022 })
    expect(await schemeFor(mint).verify(submission)).toMatchObject({ valid: true, funds: 1_000_000n })
  })

  it('with a fee or a hook is an error at start', async () => {
    const dear = await local.createMint({ decimals: 6, transferFee: { basisPoints: 100, maximum: 1_000n } })
    const hooked = await local.createMint({ decimals: 6, transferHook: payer.address })
    expect(await failure(() => schemeFor(dear).start())).toEqual(code('config/mint-mismatch'))
    expect(await failure(() => schemeFor(hooked).start())).toEqual(code('config/mint-mismatch'))
  })

  it.each(['transferFee', 'transferHook'] as const)('that gets a %s while it is served is refused from then on', async (extension) => {
    const mint = await local.createMint({ decimals: 6, program: 'spl-token-2022' })
    await fund(mint)
    const scheme = schemeFor(mint)
    const submission = await payment({ local, payer }, { requirements: requirements(mint), program: token2022 })
    expect(await scheme.verify(submission)).toMatchObject({ valid: true })
    // A hook that no program stands behind lets this very transfer through: only the mint tells.
    const changed = await local.createMint({
      decimals: 6,
      ...(extension === 'transferFee' ? { transferFee: { basisPoints: 1, maximum: 1_000n } } : { transferHook: payer.address }),
    })
    const { value } = await createSolanaRpc(local.rpcUrl).getAccountInfo(changed, { encoding: 'base64' }).send()
    if (value === null) return expect.unreachable()
    const data = new Uint8Array(getBase64Encoder().encode(value.data[0]))
    await local.setAccount(mint, { lamports: value.lamports, programAddress: value.owner, data })
    expect(await scheme.verify(submission)).toMatchObject({ valid: false })
  })
})

describe('a token that is not as it is known', () => {
  it('is an error at start', async () => {
    const mint = await local.createMint({ decimals: 9 })
    expect(await failure(() => schemeFor(mint, { transfer: 'spl-token' }).start())).toEqual(code('config/mint-mismatch'))
    expect(await failure(() => schemeFor(mint, { decimals: 9 }).start())).toEqual(code('config/mint-mismatch'))
    expect(await failure(() => schemeFor(payer.address).start())).toEqual(code('config/mint-mismatch'))
    expect(await failure(() => schemeFor(address('L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S94')).start())).toEqual(code('config/no-token'))
    expect(await failure(() => schemeFor(mint, { network: 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp' }))).toEqual(
      code('config/foreign-asset'),
    )
    expect(await failure(() => schemeFor(mint, { transfer: 'eip3009' }))).toEqual(code('config/not-a-token'))
    expect(await failure(() => schemeFor(mint, { address: 'nonsense' }))).toEqual(code('config/bad-address'))
  })

  it('is refused in a payment that names it', async () => {
    const mint = await local.createMint({ decimals: 6 })
    const { network, rpcUrl, facilitator } = local
    const scheme = exactSolanaFacilitator({ chain: solanaChain({ network, rpcUrl, signers: [facilitator.privateKey] }) })
    const submission = await payment({ local, payer }, { requirements: { ...requirementsOn(local), asset: mint } })
    expect(await scheme.verify(submission)).toMatchObject({ valid: false, reason: 'invalid_payment_requirements' })
  })
})
