// The sources stay in the repository: what is published has no condition that leads to them.
const source = '@flow402x/source'

export const hooks = {
  /** @param {{ exports?: unknown }} manifest */
  beforePacking(manifest) {
    if (typeof manifest.exports !== 'object') return manifest
    const exports = Object.entries(manifest.exports).map(([path, target]) => {
      if (typeof target !== 'object') return [path, target]
      const { [source]: _, ...published } = target
      return [path, published]
    })
    return { ...manifest, exports: Object.fromEntries(exports) }
  },
}
