import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { root } from './measure/build.ts'
import { absent, type Context, type Figure } from './report/figure.ts'
import { machineFacts, markdownTable, missesIn, terminalTable } from './report/table.ts'
import { rows } from './rows/all.ts'

const { values } = parseArgs({
  // `pnpm bench -- --json` hands over the dashes as well.
  args: process.argv.slice(2).filter((one) => one !== '--'),
  options: {
    only: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
    gate: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    docs: { type: 'boolean', default: false },
    'cpu-prof': { type: 'string' },
  },
})

const chosen = rows.filter(({ name }) => values.only === undefined || values.only.includes(name))
if (chosen.length === 0) {
  console.error(`There is no row ${values.only?.join(', ')}. There are: ${rows.map(({ name }) => name).join(', ')}.`)
  process.exit(2)
}
const began = performance.now()
const context: Context = {
  rounds: values.quick ? 1 : Number(values.rounds),
  share: values.quick ? 0.05 : 1,
  profiles: values['cpu-prof'] === undefined ? undefined : join(process.cwd(), values['cpu-prof']),
  onProgress: (step) => console.error(`${elapsed()} … ${step}`),
}
const figures: Figure[] = []
for (const { name, run } of chosen) {
  const found = await run(context).catch((error: unknown) => {
    console.error(error)
    return [absent({ row: name, figure: 'the row failed', note: String(error).slice(0, 200) })]
  })
  figures.push(...found)
  if (values.json) for (const figure of found) console.log(JSON.stringify({ ...figure, machine: machineFacts() }))
}
const { cpu, cores, node, system } = machineFacts()
const machine = `${cpu}, ${cores} cores, Node ${node}, ${system}`
const misses = missesIn(figures)
if (!values.json) {
  console.log(`${machine}\n\n${terminalTable(figures)}\n`)
  console.log(misses.length === 0 ? 'Every target was met.' : `Missed:\n${misses.map(({ text }) => `- ${text}`).join('\n')}`)
}
if (values.docs) await writeDocs()
const failed = figures.some(({ figure }) => figure === 'the row failed')
if (failed || (values.gate && misses.some(({ gates }) => gates))) process.exitCode = 1

/** Since the run began, in minutes and seconds: a whole one takes long, and says which row does. */
function elapsed(): string {
  const seconds = Math.floor((performance.now() - began) / 1000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

/** Puts the table between its marks; what stands around it is written by hand. */
async function writeDocs(): Promise<void> {
  const file = join(root, 'apps/docs/pages/benchmarks.md')
  const [before = '', after = ''] = (await readFile(file, 'utf8').catch(() => '<!-- table --><!-- end of table -->')).split(
    /<!-- table -->[\s\S]*<!-- end of table -->/,
  )
  const missed =
    misses.length === 0 ? 'Every target was met.' : `Missed in this run:\n\n${misses.map(({ text }) => `- ${text}`).join('\n')}`
  await mkdir(dirname(file), { recursive: true })
  const table = `<!-- table -->\n\nMeasured on ${machine}.\n\n${markdownTable(figures)}\n\n${missed}\n\n<!-- end of table -->`
  await writeFile(file, `${before}${table}${after}`)
}
