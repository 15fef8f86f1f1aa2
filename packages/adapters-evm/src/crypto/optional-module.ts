/**
 * A module that is used where it is installed, by its CommonJS name. It is asked for and not imported, so that sellers can be bundled for
 * runtimes that have none. Nothing where it is missing or does not load.
 */
export function optionalModule(name: string): unknown {
  try {
    return globalThis.process?.getBuiltinModule?.('node:module').createRequire(import.meta.url)(name)
  } catch {
    return undefined
  }
}
