import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { defineConfig } from 'tsup'

/** One build for every package: the exports map says what is built, so nothing is listed twice. Runs in the package's folder. */
export default defineConfig({
  entry: entries(),
  format: 'esm',
  target: 'es2022',
  platform: 'neutral',
  outDir: 'dist',
  clean: true,
  splitting: true,
  sourcemap: true,
  dts: true,
  skipNodeModulesBundle: true,
  tsconfig: '../../tsconfig.base.json',
})

function entries(): Record<string, string> {
  const manifest: { exports: Record<string, string | Record<string, string>> } = JSON.parse(readFileSync('package.json', 'utf8'))
  const sources = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [] : (target['@flow402x/source'] ?? []),
  )
  const commands = existsSync('bin') ? readdirSync('bin').filter((file) => file.endsWith('.ts')) : []
  return Object.fromEntries([
    ...sources.map((file) => [basename(file).replace(/\.tsx?$/, ''), file]),
    ...commands.map((file) => [`bin/${basename(file, '.ts')}`, `bin/${file}`]),
  ])
}
