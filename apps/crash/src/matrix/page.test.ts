import { expect, it } from 'vitest'
import { pageOf } from './page.ts'
import { rows } from './rows.ts'
import { solanaRows } from './solana-rows.ts'

it('the docs page says what the tests of every row say', async () => {
  await expect(pageOf({ rows, solanaRows })).toMatchFileSnapshot('../../../docs/pages/what-happens-when-it-crashes.md')
})
