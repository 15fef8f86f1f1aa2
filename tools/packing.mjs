/** @typedef {{ exports?: Record<string, string | Record<string, string>> }} Manifest */

// The sources stay in the repository: what is published has no condition that leads to them.
export const hooks = {
  /** @param {Manifest} manifest */
  beforePacking(manifest) {
    const exports = Object.entries(manifest.exports ?? {}).map(([path, target]) => {
      if (typeof target === 'string') return [path, target]
      const { '@flow402x/source': _, ...published } = target
      return [path, published]
    })
    return { ...manifest, exports: Object.fromEntries(exports) }
  },
}
