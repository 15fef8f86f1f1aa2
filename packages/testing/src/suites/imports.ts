import { readFileSync } from 'node:fs'

/** Every package that an entry file loads, followed through its own files; sorted. */
export function packagesLoadedBy(entry: URL): readonly string[] {
  const seen = new Set<string>()
  const packages = new Set<string>()
  const follow = (file: URL): void => {
    if (seen.has(file.href)) return
    seen.add(file.href)
    const statements = readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type )[^']*?from '([^']+)'/gm)
    for (const [, specifier = ''] of statements) {
      if (specifier.startsWith('.')) follow(new URL(specifier, file))
      else packages.add(specifier)
    }
  }
  follow(entry)
  return [...packages].sort()
}
