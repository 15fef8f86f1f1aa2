import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { buildPackages, root } from '../measure/build.ts'
import { absent, atMost, type Context, counted, type Figure, figureOf, type Judge, type Row } from '../report/figure.ts'

const row = 'size'
const run = promisify(execFile)

/** What a browser loads, and what an install brings. */
export const size: Row = {
  name: row,
  async run(context) {
    context.onProgress('bundles')
    const bundles = {
      ours: [await bundled(ourClient)],
      official: [await bundled(officialClient)],
      mppx: [await bundled(mppxClient)],
      floor: [await bundled(account)],
    }
    const figure = 'client bundle (fetch, exact EVM, private-key account), gzipped'
    const bundle = figureOf({ row, figure, unit: 'kB', ...bundles, note: 'floor: a viem account' }, [
      { ...atMost(45, 'kB'), kind: 'ratio' },
    ])
    return [bundle, ...(await installs(context))]
  },
}

const ourClient = `export { createClient } from '@flow402x/client'
export { exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'`
const officialClient = `export { wrapFetchWithPayment, x402Client } from '@x402/fetch'
export { registerExactEvmScheme } from '@x402/evm/exact/client'
export { privateKeyToAccount } from 'viem/accounts'`
const mppxClient = `export { Mppx } from 'mppx/client'
export { evm } from 'mppx/evm/client'
export { privateKeyToAccount } from 'viem/accounts'`
const account = "export { privateKeyToAccount } from 'viem/accounts'"

async function bundled(contents: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: join(root, 'apps/bench') },
    bundle: true,
    write: false,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    conditions: ['@flow402x/source'],
    logLevel: 'error',
  })
  return gzipSync(outputFiles[0]?.contents ?? new Uint8Array(), { level: 9 }).length / 1000
}

const roles = [
  {
    name: 'server only, EVM',
    ours: ['core', 'server', 'adapters-evm'],
    official: ['@x402/express', '@x402/core', '@x402/evm'],
    mppx: ['mppx', 'viem'],
    framework: 'express',
    targets: { size: [{ ...atMost(10, 'MiB'), kind: 'ratio' }], count: [counted(6, 'packages')] },
  },
  {
    name: 'server only, Solana',
    ours: ['core', 'server', 'adapters-solana'],
    official: ['@x402/express', '@x402/core', '@x402/svm', '@solana/kit'],
    framework: 'express',
  },
  {
    name: 'client only, EVM',
    ours: ['core', 'client', 'adapters-evm'],
    official: ['@x402/fetch', '@x402/evm', 'viem'],
    mppx: ['mppx', 'viem'],
  },
  {
    name: 'client only, Solana',
    ours: ['core', 'client', 'adapters-solana'],
    official: ['@x402/fetch', '@x402/svm', '@solana/kit'],
  },
] as const satisfies readonly Part[]

/** What one role of each house consists of; whatever a framework brings itself is taken off. */
type Part = {
  readonly name: string
  readonly ours: readonly string[]
  readonly official: readonly string[]
  readonly mppx?: readonly string[]
  readonly framework?: string
  readonly targets?: { readonly size: readonly Judge[]; readonly count: readonly Judge[] }
}

async function installs({ onProgress, share }: Context): Promise<Figure[]> {
  if (share < 1) return [absent({ row, figure: 'install size', note: 'not in a quick run' })]
  onProgress('building and installing the packages')
  const failure = await buildPackages()
  if (failure !== undefined) return [absent({ row, figure: 'install size', note: failure })]
  const folder = await mkdtemp(join(tmpdir(), 'flow402x-bench-'))
  try {
    const names = [...new Set(roles.flatMap(({ ours }) => ours))]
    const files = new Map(await Promise.all(names.map((name) => packed(folder, name))))
    return (await Promise.all(roles.map((role) => installed({ folder, files }, role)))).flat()
  } catch (error) {
    const note = error instanceof Error ? (error.message.split('\n')[0] ?? '') : 'unknown'
    return [absent({ row, figure: 'install size', note })]
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where it is installed, and the file that each package of ours is packed in. */
type Place = { readonly folder: string; readonly files: ReadonlyMap<string, string> }

async function installed({ folder, files }: Place, { name, targets, ...role }: Part): Promise<Figure[]> {
  const ours = await install(folder, Object.fromEntries(role.ours.map((one) => [`@flow402x/${one}`, `file:${files.get(one)}`])))
  const framework = role.framework === undefined ? [] : [role.framework]
  const bare = framework.length === 0 ? { packages: 0, mebibytes: 0 } : await install(folder, await pinned(framework))
  const beside = async (names: readonly string[]): Promise<Installed> => {
    const { packages, mebibytes } = await install(folder, await pinned([...names, ...framework]))
    return { packages: packages - bare.packages, mebibytes: mebibytes - bare.mebibytes }
  }
  const official = await beside(role.official)
  const mppx = role.mppx === undefined ? undefined : await beside(role.mppx)
  const of = (field: keyof Installed) => ({
    ours: [ours[field]],
    official: [official[field]],
    ...(mppx === undefined ? {} : { mppx: [mppx[field]] }),
    note: 'beside the framework',
  })
  return [
    figureOf({ row, figure: `install, ${name}`, unit: 'MiB', ...of('mebibytes') }, targets?.size),
    figureOf({ row, figure: `packages installed, ${name}`, unit: '', ...of('packages') }, targets?.count),
  ]
}

async function pinned(names: readonly string[]): Promise<Record<string, string>> {
  return Object.fromEntries(await Promise.all(names.map(async (one) => [one, await versionOf(one)] as const)))
}

/** Packs a package as it would be published. */
async function packed(folder: string, name: string): Promise<[name: string, file: string]> {
  const file = join(folder, `${name}.tgz`)
  await run('npx', ['-y', 'pnpm@12.21.0', 'pack', '--out', file], { cwd: join(root, 'packages', name) })
  return [name, file]
}

type Installed = { readonly packages: number; readonly mebibytes: number }

async function install(folder: string, dependencies: Record<string, string>): Promise<Installed> {
  const home = await mkdtemp(join(folder, 'install-'))
  // Packed packages name each other by version; here each is the file, whoever asks.
  const overrides = {
    viem: await versionOf('viem'),
    ...Object.fromEntries(Object.entries(dependencies).filter(([, from]) => from.startsWith('file:'))),
  }
  await writeFile(join(home, 'package.json'), JSON.stringify({ name: 'measured', private: true, type: 'module', dependencies, overrides }))
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: home })
  const modules = join(home, 'node_modules')
  const lock: { readonly packages: object } = JSON.parse(await readFile(join(modules, '.package-lock.json'), 'utf8'))
  return { packages: Object.keys(lock.packages).length, mebibytes: (await bytesIn(modules)) / 2 ** 20 }
}

async function bytesIn(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  }
  return bytes
}

async function versionOf(name: string): Promise<string> {
  const catalog = await readFile(join(root, 'pnpm-workspace.yaml'), 'utf8')
  const line = catalog
    .split('\n')
    .find((one) => one.trim().replace(/^'/, '').startsWith(name) && /^'?:/.test(one.trim().replace(/^'/, '').slice(name.length)))
  return line?.slice(line.lastIndexOf(':') + 1).trim() ?? 'latest'
}
