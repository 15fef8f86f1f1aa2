import { type SolanaChain, startSolanaChain } from '@flow402x/testing'
import { verifies } from '@flow402x/testing/requirements'
import { address } from '@solana/kit'
import { getApproveCheckedInstruction, getRevokeInstruction, getTransferCheckedInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { at, openStage, type Stage } from '../fixtures/channels.ts'
import { signerOf } from '../fixtures/payments.ts'
import { readChannel } from './state.ts'

let local: SolanaChain
beforeAll(async () => {
  local = await startSolanaChain({ slotTime: 0 })
})
afterAll(() => local?.stop())

/** A signed voucher over the newest nonce. */
async function voucher(stage: Stage, amount: bigint, nonce?: string) {
  const said = { nonce: nonce ?? (await stage.nonce()), amount }
  return { ...said, signature: await stage.sign(said) }
}

const stateOf = (stage: Stage) => readChannel(stage.rpc, stage.channel)

describe('T25: a channel of nonce vouchers on the chain', () => {
  it('settles the highest of three vouchers, and every other of its epoch is dead', async () => {
    verifies('T25')
    const stage = await openStage(local)
    const before = await stage.received()
    expect(await stateOf(stage)).toMatchObject({ epoch: { settled: 0n }, spendable: 10_000_000n })
    const [one, two, three] = await Promise.all([1n, 2n, 3n].map((usd) => voucher(stage, usd * 1_000_000n)))
    if (one === undefined || two === undefined || three === undefined) throw new Error('no vouchers')
    const settled = await stage.settle(three)
    expect((await stage.received()) - before).toBe(3_000_000n)
    expect(await stateOf(stage)).toMatchObject({ epoch: { settled: 3_000_000n, last: settled }, spendable: 7_000_000n })
    // Lower, and the same once more.
    for (const old of [two, one, three]) {
      expect(await stage.simulate(old)).toBe('BlockhashNotFound')
      await stage.settle(old)
    }
    expect((await stage.received()) - before).toBe(3_000_000n)
  })

  it('adds up over successive epochs', async () => {
    verifies('T25')
    const stage = await openStage(local)
    const before = await stage.received()
    const nonces = new Set<string>()
    for (const amount of [1_000_000n, 250_000n, 1n]) {
      const next = await voucher(stage, amount)
      nonces.add(next.nonce)
      await stage.settle(next)
    }
    expect(nonces.size).toBe(3)
    expect((await stage.received()) - before).toBe(1_250_001n)
    expect(await stateOf(stage)).toMatchObject({ epoch: { settled: 1_250_001n }, spendable: 8_749_999n })
  })

  it('gives one side alone nothing', async () => {
    verifies('T25')
    const stage = await openStage(local)
    const authority = await signerOf(local.facilitator)
    const { channel } = stage
    const alone = getTransferCheckedInstruction({
      source: at(channel, 'purse'),
      mint: local.usdc.address,
      destination: at(channel, 'destination'),
      authority: at(channel, 'multisig'),
      amount: 1n,
      decimals: 6,
      multiSigners: [authority],
    })
    await expect(stage.send([alone], authority)).rejects.toMatchObject({ cause: { context: { index: 0 } } })
    // A voucher that another key signed in the session's place.
    const stranger = await voucher(stage, 5n)
    expect(await stage.simulate({ ...stranger, signature: Uint8Array.from({ length: 64 }, () => 7) })).toBe('SignatureFailure')
    expect(await stateOf(stage)).toMatchObject({ epoch: { settled: 0n }, spendable: 10_000_000n })
  })

  it('loses to the receiver what was not settled when its payer revokes', async () => {
    verifies('T25')
    const stage = await openStage(local)
    const signed = await voucher(stage, 4_000_000n)
    await stage.send([getRevokeInstruction({ source: at(stage.channel, 'purse'), owner: stage.payer })])
    expect(await stateOf(stage)).toMatchObject({ spendable: 0n })
    expect(await stage.simulate(signed)).toEqual({ InstructionError: [1n, { Custom: 4n }] })
  })

  it('is worth no more than was approved, and a failure on the chain takes the nonce along', async () => {
    verifies('T25')
    const stage = await openStage(local)
    const before = await stage.received()
    const above = await voucher(stage, 10_000_001n)
    const within = await voucher(stage, 10n)
    expect(await stage.simulate(above)).toEqual({ InstructionError: [1n, { Custom: 1n }] })
    await stage.settle(above)
    expect(await stage.received()).toBe(before)
    // Nothing was settled by it, and every voucher of its epoch is gone: this is why the rail simulates first.
    expect(await stage.simulate(within)).toBe('BlockhashNotFound')
    expect(await stateOf(stage)).toMatchObject({ epoch: { settled: 0n }, spendable: 10_000_000n })
    await stage.settle(await voucher(stage, 10n))
    expect((await stage.received()) - before).toBe(10n)
  })

  it('counts an epoch that its authority ended without a transfer as zero, whatever balances say', async () => {
    verifies('T25')
    verifies('M30')
    const stage = await openStage(local)
    const first = await stateOf(stage)
    const lost = await voucher(stage, 2_000_000n)
    // The shortest way to burn an epoch: a voucher that fails.
    await stage.settle(await voucher(stage, 2n ** 63n))
    // Its payer takes money out of the purse to somebody else at the same time, so balances moved and nothing was settled.
    const { channel, payer } = stage
    await stage.send([
      getTransferCheckedInstruction({
        source: at(channel, 'purse'),
        mint: address(channel.asset),
        destination: at(channel, 'destination'),
        authority: payer,
        amount: 3_000_000n,
        decimals: 6,
      }),
    ])
    const second = await readChannel(stage.rpc, channel, { known: first?.epoch })
    expect(second).toMatchObject({ epoch: { settled: 0n }, spendable: 7_000_000n })
    expect(second?.epoch.nonce).not.toBe(first?.epoch.nonce)
    expect(await stage.simulate(lost)).toBe('BlockhashNotFound')
    // Read from the beginning it is the same.
    expect(await stateOf(stage)).toEqual(second)
  })

  it('tells nothing of a channel whose accounts obey others, or that is not there', async () => {
    verifies('M30')
    const stage = await openStage(local)
    const { channel } = stage
    for (const other of [{ session: local.buyer.address }, { nonceAuthority: local.seller.address }, { salt: 'f'.repeat(32) }])
      expect(await readChannel(stage.rpc, { ...channel, ...other })).toBeUndefined()
    // An approval that goes to somebody else is none.
    await stage.send([
      getApproveCheckedInstruction({
        source: at(channel, 'purse'),
        mint: address(channel.asset),
        delegate: address(local.buyer.address),
        owner: stage.payer,
        amount: 10_000_000n,
        decimals: 6,
      }),
    ])
    expect(await stateOf(stage)).toMatchObject({ spendable: 0n })
  })
})
