import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Listing, listing as listingSchema } from '@flow402x/core/bazaar'
import { plain } from '@flow402x/core/page'
import { verifies } from '@flow402x/testing/requirements'
import ts from 'typescript'
import { afterAll, describe, expect, it } from 'vitest'
import { attacks, hostileMarket } from '../fixtures/hostile.ts'
import { market } from '../fixtures/market.ts'
import { listingOf, type Seed } from '../fixtures/seeded.ts'
import { callsOf } from './calls.ts'

const folder = mkdtempSync(join(tmpdir(), 'flow402x-calls-'))
afterAll(() => rmSync(folder, { recursive: true }))

const codeOf = (listing: Listing, id: string) => callsOf(listing).find((call) => call.id === id)?.code ?? ''
const callable = [...market, ...hostileMarket.slice(2)].map(listingOf).filter(({ type }) => type === 'http')

/** The words that a shell hands to the programs of a command, as it reads it. */
function words(command: string): string[] {
  const script = `show() { for word; do printf '%s\\0' "$word"; done; }\nnpx() { show npx "$@"; }\ncurl() { show curl "$@"; }\n${command}`
  return execFileSync('sh', ['-c', script], { cwd: folder, encoding: 'utf8' }).split('\0').slice(0, -1)
}

describe('the ways to call a resource', () => {
  it.each(callable.map((listing) => [listing.key.slice(0, 60), listing] as const))('are one command each: %s', (_, listing) => {
    verifies(['BAZAAR-CALLS', 'A21'])
    const look = words(codeOf(listing, 'look'))
    expect(look.slice(0, 2)).toEqual(['curl', '-i'])
    expect(look.at(-1)).toMatch(/^https:\/\/[!-~]+$/)
    const [npx, program, command, url, ...rest] = words(codeOf(listing, 'pay'))
    expect([npx, program, command, url]).toEqual(['npx', 'flow402x', 'pay', look.at(-1)])
    expect(rest.filter((word) => /^-/.test(word)).every((word) => ['-X', '-H', '-d', '--max'].includes(word))).toBe(true)
    expect(readdirSync(folder)).toEqual([])
  })

  it('say the method, the body and the most that it costs', () => {
    const tale = listingOf(market[0] ?? { url: '' })
    expect(words(codeOf(tale, 'pay'))).toEqual(
      ['npx', 'flow402x', 'pay', 'https://api.taleworks.example/v1/tell', '-H', 'content-type: application/json'].concat([
        '-d',
        '{"prompt":"A lighthouse that keeps time","words":300}',
        '--max',
        '$0.005',
      ]),
    )
    expect(words(codeOf(listingOf({ url: 'https://a.example/x', method: 'DELETE', amount: '120000' }), 'pay')).slice(3)).toEqual([
      'https://a.example/x',
      '-X',
      'DELETE',
      '--max',
      '$0.12',
    ])
    expect(words(codeOf(listingOf(market[1] ?? { url: '' }), 'pay'))[3]).toBe('https://sky.meteo.example/now?lat=41.15&lon=-8.61')
  })

  it('show every character that they hold', () => {
    verifies('A21')
    const bidi = listingOf({ url: 'https://a.example/x', method: 'POST', input: { bodyType: 'json', body: { note: attacks.bidi } } })
    for (const { code } of callsOf(bidi)) expect(plain(code)).toBe(code)
    const [body = ''] = words(codeOf(bidi, 'pay')).slice(-3, -2)
    expect(JSON.parse(body)).toEqual({ note: attacks.bidi })
  })

  it('send no file of who copies them', () => {
    verifies(['BAZAAR-CALLS', 'A21'])
    for (const body of ['@/etc/passwd', '@-', ['@x']]) {
      const thief = listingOf({ url: 'https://a.example/x', method: 'POST', input: { bodyType: 'text', body } })
      expect(words(codeOf(thief, 'pay')).filter((word) => word.startsWith('@'))).toEqual([])
    }
    const honest = listingOf({ url: 'https://a.example/x', method: 'POST', input: { bodyType: 'text', body: 'write to me@example' } })
    expect(words(codeOf(honest, 'pay'))).toContain('write to me@example')
  })

  it('ask one address', () => {
    expect(words(codeOf(listingOf({ url: 'https://a.example/[1-9]' }), 'look'))).toEqual(['curl', '-i', '-g', 'https://a.example/[1-9]'])
  })

  it('leave out a body that nobody would copy', () => {
    const long = listingOf({ url: 'https://a.example/x', method: 'POST', input: { bodyType: 'json', body: { prompt: attacks.long } } })
    expect(words(codeOf(long, 'pay')).slice(3)).toEqual(['https://a.example/x', '-X', 'POST', '--max', '$0.005'])
  })

  it('are none for what is no web address', () => {
    const odd = listingSchema.parse({ ...listingOf({ url: 'https://a.example/x' }), resource: 'javascript:alert(1)' })
    expect(callsOf(odd)).toEqual([])
  })

  it('compile', () => {
    verifies('BAZAAR-CALLS')
    const schemes: readonly Seed[] = [
      { url: 'https://a.example/x', on: 'solana' },
      { url: 'https://a.example/y', scheme: 'batch-settlement', method: 'PUT' },
    ]
    const codes = [...callable, ...schemes.map(listingOf)].map((listing) => codeOf(listing, 'code'))
    const streams = [...callable, ...schemes.map(listingOf)].map(({ stream }) => stream != null)
    // A stream is read as long as it is paid.
    expect(codes.map((code) => [code.includes('payStream('), code.includes('client.fetch(')])).toEqual(streams.map((is) => [is, !is]))
    expect(streams).toContain(true)
    const wrong = "import { createClient } from '@flow402x/client'\ncreateClient({ schemes: 1 })"
    expect(diagnose([...codes, wrong])).toEqual([expect.stringContaining(`snippet-${codes.length}.ts`)])
  })
})

/** What the compiler says of programs that stand beside the examples, which have all packages that a buyer has. */
function diagnose(codes: readonly string[]): string[] {
  const root = fileURLToPath(new URL('../../../../', import.meta.url))
  const files = new Map(codes.map((code, index) => [join(root, `apps/examples/src/snippet-${index}.ts`), `${code}\nexport {}\n`]))
  const read = ts.readConfigFile(join(root, 'tsconfig.base.json'), (path) => readFileSync(path, 'utf8'))
  const { options } = ts.parseJsonConfigFileContent({ compilerOptions: read.config.compilerOptions }, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile, getSourceFile, directoryExists } = host
  host.fileExists = (path) => files.has(path) || fileExists(path)
  host.readFile = (path) => files.get(path) ?? readFile(path)
  host.directoryExists = (path) => path === dirname([...files.keys()][0] ?? '') || (directoryExists?.(path) ?? true)
  host.getSourceFile = (path, target, ...rest) => {
    const text = files.get(path)
    return text === undefined ? getSourceFile(path, target, ...rest) : ts.createSourceFile(path, text, target)
  }
  const program = ts.createProgram([...files.keys()], options, host)
  const own = [...files.keys()].flatMap((path) => {
    const source = program.getSourceFile(path)
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
  })
  return own.map(({ messageText, file }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
}
