import { type Channel, type ChannelStore, channelBook, finishStretch, leaveStretch, takeStretch } from '@flow402x/core'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { start, unique } from '../stores/journal-rows.ts'
import { type StoreProcess, startStoreProcess } from '../stores/processes.ts'
import type { StoreSuite } from '../stores/store.ts'

/** What a store of channels must do, over several connections to the same data and in several processes. */
export function testChannels({ noJournal, program }: Pick<StoreSuite, 'noJournal' | 'program'>, open: () => readonly ChannelStore[]): void {
  if (noJournal !== undefined) {
    it.skip(`keeps the books of channels (${noJournal})`, () => {})
    return
  }
  const at = (index: number): ChannelStore => {
    const all = open()
    const channels = all[index % all.length]
    if (channels === undefined) throw new Error('no channels were opened')
    return channels
  }

  it('keeps a channel as it is, for each side its own, and the first of many', async () => {
    const first = newChannel()
    expect(await at(0).find(first)).toBeUndefined()
    const answers = await Promise.all(Array.from({ length: 12 }, (_, index) => at(index).open({ ...first, charged: BigInt(index) })))
    expect(answers).toEqual(answers.map(() => answers[0]))
    const other = { ...first, side: 'payer' as const }
    const opened = await at(1).open(other)
    expect(opened).toEqual({ ...other, epoch: opened.epoch })
    expect(await at(2).find(first)).toEqual(answers[0])
    expect(await at(2).find(other)).toEqual(opened)
  })

  it('keeps every amount and part of a row', async () => {
    const channel = await at(0).open(newChannel())
    expect(await at(1).update(channel, full(channel))).toEqual({ ...full(channel), epoch: channel.epoch + 1 })
    expect(await at(2).find(channel)).toEqual({ ...full(channel), epoch: channel.epoch + 1 })
    const { owedSince: _, voucher: __, filling: ___, lanes: ____, ...bare } = full(channel)
    await at(0).update({ ...channel, epoch: channel.epoch + 1 }, bare)
    expect(await at(1).find(channel)).toEqual({ ...bare, epoch: channel.epoch + 2 })
  })

  it('lets one of many change a row, and nobody with an old one', async () => {
    verifies('A24')
    const channel = await at(0).open(newChannel())
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => at(index).update(channel, { ...channel, charged: BigInt(index), id: 'mine', epoch: 99 })),
    )
    const won = answers.filter((one) => one !== undefined)
    expect(won).toEqual([await at(1).find(channel)])
    expect(won[0]).toMatchObject({ id: channel.id, epoch: channel.epoch + 1 })
    expect(await at(0).update(channel, channel)).toBeUndefined()
    expect(await at(0).update(newChannel(), channel)).toBeUndefined()
  })

  it('lists the channels of a side, and those that owe', async () => {
    const channels = await Promise.all(Array.from({ length: 70 }, (_, index) => at(index).open(newChannel())))
    const owing = channels.slice(0, 66)
    await Promise.all(owing.map((channel) => at(0).update(channel, { ...channel, owedSince: start })))
    const listed = async (options: Parameters<ChannelStore['list']>[0]): Promise<string[]> => {
      const found: string[] = []
      for await (const { id } of at(1).list(options)) if (channels.some((one) => one.id === id)) found.push(id)
      return found.sort()
    }
    expect(await listed({ side: 'receiver' })).toEqual(channels.map(({ id }) => id).sort())
    expect(await listed({ side: 'receiver', owed: true })).toEqual(owing.map(({ id }) => id).sort())
    expect(await listed({ side: 'payer' })).toEqual([])
  })

  it('sells each voucher once over several connections', async () => {
    verifies('M26')
    const { id } = await at(0).open(newChannel())
    expect(await sellTogether([at(0), at(1), at(2)], { id, vouchers: 12 })).toHaveLength(12)
    expect(await at(0).find({ side: 'receiver', id })).toMatchObject({ charged: 120n, top: 120n, held: [], free: [] })
  })

  if (typeof program === 'function') testSellers(() => startStoreProcess(program()), at)
  else it.skip(`sells each voucher once over four processes (${program.none})`, () => {})
}

function testSellers(begin: () => Promise<StoreProcess>, at: (index: number) => ChannelStore): void {
  let processes: StoreProcess[] = []
  beforeAll(async () => {
    processes = await Promise.all([begin(), begin(), begin(), begin()])
  }, 120_000)
  afterAll(async () => {
    for (const one of processes) await one.kill()
  })

  it('sells each voucher once over four processes, and what was answered outlives kill -9', { timeout: 120_000 }, async () => {
    verifies('M26')
    const { id } = await at(0).open(newChannel())
    const stores = processes.map(({ channels }): ChannelStore => ({ ...channels, list: (options) => at(0).list(options) }))
    expect(await sellTogether(stores, { id, vouchers: 12 })).toHaveLength(12)
    const [victim] = processes
    const standing = await at(1).find({ side: 'receiver', id })
    if (victim === undefined || standing === undefined) throw new Error('nothing stands')
    const written = await victim.channels.update(standing, { ...standing, refunding: 7n })
    await victim.kill()
    expect(await at(1).find(standing)).toEqual(written)
    expect(written).toMatchObject({ charged: 120n, refunding: 7n })
  })
}

/** Every store is shown every voucher at once; what was sold, by the voucher's end. */
async function sellTogether(stores: readonly ChannelStore[], { id, vouchers }: { id: string; vouchers: number }): Promise<bigint[]> {
  const sales = stores.flatMap((store, seller) => {
    const book = channelBook(store, { side: 'receiver' })
    return Array.from({ length: vouchers }, async (_, index) => {
      const [hold, max] = [`${seller} ${index}`, BigInt(index + 1) * 10n]
      const withheld = await book.change(id, (row) => takeStretch(row, { id: hold, max, amount: 10n, now: start, until: start + 1000 }))
      if (withheld !== undefined) return []
      await book.change(id, (row) => finishStretch(row, { id: hold, used: 10n, signature: '0x', now: start }))
      await book.change(id, (row) => leaveStretch(row, { id: hold }))
      return [max]
    })
  })
  return (await Promise.all(sales)).flat()
}

function newChannel(): Channel {
  return {
    side: 'receiver',
    id: `0x${unique()}`,
    network: 'eip155:84532',
    config: { payer: '0xA', withdrawDelay: 900, deep: { list: [1, null, 'é'] } },
    funds: { balance: 1000n, claimed: 0n, withdrawing: 0n, withdrawalAt: 0, refundNonce: 0n, readAt: start },
    refunding: 0n,
    charged: 0n,
    top: 0n,
    held: [],
    free: [],
    epoch: 1,
  }
}

function full(channel: Channel): Channel {
  const large = 2n ** 128n - 1n
  return {
    ...channel,
    funds: { balance: large, claimed: 1n, withdrawing: 2n, withdrawalAt: 1_763_700_000, refundNonce: 2n ** 256n - 1n, readAt: start + 0.5 },
    refunding: 3n,
    claiming: large,
    charged: large,
    top: large,
    held: [
      { from: 1n, to: large, id: 'a', until: start + 1 },
      { from: 1n, to: large, id: 'b', until: start + 1, used: large, before: 4n, again: 2, request: 'ab' },
    ],
    free: [
      { from: 0n, to: 1n },
      { from: 1n, to: 2n, spent: true },
    ],
    lanes: [{ id: 'c', epoch: 2, grade: 'B', used: large, granted: large, credit: [{ from: 1n, to: large, spent: true }] }],
    filling: { amount: large, until: start, by: 'a', authorization: { salt: '0x01', signature: '0xab' } },
    voucher: { max: large, signature: '0xab' },
    owedSince: start,
  }
}
