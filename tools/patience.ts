import { vi } from 'vitest'

// A busy machine shows a block late. A wait ends once what it waits for is there, so its limit can be far away; vitest has a setting of it for `expect.poll` alone.
const limit = 20_000

const { waitFor } = vi
vi.waitFor = (callback, options = {}) => {
  const { timeout = limit, ...rest } = typeof options === 'number' ? { timeout: options } : options
  return waitFor(callback, { ...rest, timeout: Math.max(timeout, limit) })
}
