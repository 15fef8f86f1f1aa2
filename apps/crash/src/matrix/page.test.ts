import { expect, it } from 'vitest'
import { pageOf } from './page.ts'
import { rows } from './rows.ts'

it('the docs page says what the tests of every row say', async () => {
  await expect(pageOf(rows)).toMatchFileSnapshot('../../../docs/pages/what-happens-when-it-crashes.md')
})
