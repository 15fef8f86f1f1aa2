import type { ViewGrant, ViewStore } from '@flow402x/core/stream'
import { expect, it } from 'vitest'
import { verifies } from '../../requirements.ts'
import { start, unique } from '../stores/journal-rows.ts'

/** What a store of views must do, over several connections to the same data. */
export function testViews(open: () => readonly ViewStore[]): void {
  const at = (index: number): ViewStore => {
    const all = open()
    const views = all[index % all.length]
    if (views === undefined) throw new Error('no views were opened')
    return views
  }

  it('keeps a grant as it is, for one viewer of one resource', async () => {
    const grant = newGrant({ purchases: [bought({ id: 'a"\' ; --', views: 3, used: 2 }), bought({})], openUntil: 1.5, provenAt: start })
    expect(await at(0).find(grant)).toBeUndefined()
    expect(await at(0).put(grant)).toBe(true)
    expect(await at(1).find(grant)).toEqual(grant)
    expect(await at(2).find({ ...grant, viewer: unique() })).toBeUndefined()
    expect(await at(2).find({ ...grant, resource: unique() })).toBeUndefined()
  })

  it('has one first and one next of many at once', async () => {
    verifies('FS1-VIEW-GRANT')
    const grant = newGrant({})
    const firsts = await Promise.all(
      Array.from({ length: 24 }, (_, index) => at(index).put({ ...grant, purchases: [bought({ id: `${index}` })] })),
    )
    expect(firsts.filter(Boolean)).toHaveLength(1)
    const standing = await at(0).find(grant)
    expect(standing?.purchases).toEqual([bought({ id: `${firsts.indexOf(true)}` })])
    const seconds = await Promise.all(Array.from({ length: 24 }, (_, index) => at(index).put({ ...grant, epoch: 2, openUntil: index })))
    expect(seconds.filter(Boolean)).toHaveLength(1)
    expect(await at(1).find(grant)).toEqual({ ...grant, epoch: 2, openUntil: seconds.indexOf(true) })
    for (const epoch of [1, 2, 4]) expect(await at(2).put({ ...grant, epoch })).toBe(false)
    expect(await at(0).put({ ...newGrant({}), epoch: 2 })).toBe(false)
  })

  it('forgets what expired, and nothing that was prolonged', async () => {
    const [old, prolonged, young] = [newGrant({ expires: 5 }), newGrant({ expires: 5 }), newGrant({ expires: 6 })]
    for (const grant of [old, prolonged, young]) await at(0).put(grant)
    await at(1).put({ ...prolonged, epoch: 2, expires: 6 })
    expect(await at(2).purge(5)).toBe(0)
    expect(await at(2).purge(6)).toBe(1)
    expect(await at(0).find(old)).toBeUndefined()
    expect(await at(0).find(prolonged)).toMatchObject({ epoch: 2 })
    expect(await at(0).purge(7)).toBe(2)
    expect(await at(1).put(old)).toBe(true)
    await at(1).purge(7)
  })
}

function newGrant(change: Partial<ViewGrant>): ViewGrant {
  return {
    resource: `https://shop.example/${unique()}`,
    viewer: `eip155:${unique()}`,
    epoch: 1,
    purchases: [],
    openUntil: 0,
    provenAt: 0,
    expires: start,
    ...change,
  }
}

function bought(change: Partial<ViewGrant['purchases'][number]>): ViewGrant['purchases'][number] {
  return { id: 'payment', used: 0, until: start, ...change }
}
