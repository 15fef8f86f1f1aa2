/** @typedef {Record<string, string | Record<string, string>>} Targets */
/** @typedef {{ exports?: Targets, imports?: Targets }} Manifest */

// The sources stay in the repository: what is published has no condition that leads to them.
export const hooks = {
  /** @param {Manifest} manifest */
  beforePacking(manifest) {
    const { exports = {}, imports } = manifest
    return { ...manifest, exports: published(exports), ...(imports === undefined ? {} : { imports: published(imports) }) }
  },
}

/** @param {Targets} targets */
function published(targets) {
  const paths = Object.entries(targets).map(([path, target]) => {
    if (typeof target === 'string') return [path, target]
    const { '@flow402x/source': _, ...rest } = target
    return [path, rest]
  })
  return Object.fromEntries(paths)
}
