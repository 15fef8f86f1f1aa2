import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig, type Options } from 'tsup'

/**
 * One build for every package: the exports map says what is public, so nothing is listed twice. Of what browsers load every module
 * becomes a file of its own, which bundlers leave out where nobody asks for it; elsewhere few files start sooner. Runs in the
 * package's folder.
 */
const usual: Options = {
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  outDir: 'dist',
  tsconfig: '../../tsconfig.base.json',
}

const zodOfCore = '@flow402x/core/zod'
const zodInOne = 'zod-in-one'

export default defineConfig([
  {
    ...usual,
    entry: { ...(isForBrowsers() ? modules() : {}), ...entries() },
    clean: [`!${zodInOne}.js`],
    splitting: true,
    dts: { entry: entries() },
    skipNodeModulesBundle: true,
    // What this lets through comes to the plugin, which says where zod is (`core/src/zod.ts`).
    noExternal: ['zod/mini'],
    esbuildPlugins: [
      {
        name: 'zod-of-core',
        setup: ({ onResolve }) =>
          onResolve({ filter: /^zod\/mini$/ }, ({ path, importer }) => ({
            path: importer.endsWith('/core/src/zod.ts') ? path : zodOfCore,
            external: true,
            sideEffects: false,
          })),
      },
    ],
  },
  ...(manifest().name === '@flow402x/core' ? [{ ...usual, ...oneFileOfZod() }] : []),
])

function oneFileOfZod(): Options {
  const license = readFileSync('node_modules/zod/LICENSE', 'utf8')
  return { entry: { [zodInOne]: 'src/zod.ts' }, noExternal: ['zod/mini'], minify: true, banner: { js: `/*! zod\n${license}*/` } }
}

function manifest(): { readonly name: string; readonly exports: Record<string, string | Record<string, string>> } {
  return JSON.parse(readFileSync('package.json', 'utf8'))
}

function isForBrowsers(): boolean {
  const { name, exports } = manifest()
  return ['@flow402x/core', '@flow402x/client'].includes(name) || './client' in exports
}

function entries(): Record<string, string> {
  const sources = Object.values(manifest().exports).flatMap((target) =>
    typeof target === 'string' ? [] : (target['@flow402x/source'] ?? []),
  )
  const commands = existsSync('bin') ? readdirSync('bin').filter((file) => file.endsWith('.ts')) : []
  return Object.fromEntries([
    ...sources.map((file) => [basename(file).replace(/\.tsx?$/, ''), file]),
    ...commands.map((file) => [`bin/${basename(file, '.ts')}`, `bin/${file}`]),
  ])
}

function modules(): Record<string, string> {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
  const sources = files.filter((file) => /\.tsx?$/.test(file) && !/\.test(-d)?\.tsx?$/.test(file))
  return Object.fromEntries(sources.map((file) => [file.replace(/\.tsx?$/, ''), `src/${file}`]))
}
