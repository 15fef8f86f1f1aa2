import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Runs before anything that needs a dependency, so it uses none: pnpm warns and goes on when the install it started has failed.

const root = fileURLToPath(new URL('..', import.meta.url))
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) fail(`Node ${process.versions.node} is too old: Flow402x needs 20.19 or later.`)

const folders = ['packages', 'apps'].flatMap((group) => {
  const path = join(root, group)
  return existsSync(path) ? readdirSync(path).map((name) => join(path, name)) : []
})
const missing = [root, ...folders].filter((folder) => existsSync(join(folder, 'package.json'))).flatMap(missingIn)
if (missing.length > 0) {
  fail(`The dependencies are not installed (missing: ${missing.slice(0, 5).join(', ')}${missing.length > 5 ? ', …' : ''}).
Run \`npx -y pnpm@12.21.0 install\` and mend what it reports, then try again.`)
}

/** @param {string} folder */
function missingIn(folder) {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  return Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
    (name) => !existsSync(join(folder, 'node_modules', name, 'package.json')),
  )
}

/** @param {string} message @returns {never} */
function fail(message) {
  console.error(message)
  process.exit(1)
}
