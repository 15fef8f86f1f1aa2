import { writeFile } from 'node:fs/promises'
import * as scripts from './bundle.ts'

// What `#scripts` is once the package is built: each script itself in a file of its own, with nothing to bundle it.
const names = Object.entries(scripts).map(async ([name, make]) => {
  const script = await make()
  await writeFile(`dist/${name}.js`, `const script = ${JSON.stringify(script)}\nexport const ${name} = async () => script\n`)
  return `export { ${name} } from './${name}.js'\n`
})
await writeFile('dist/scripts.js', (await Promise.all(names)).join(''))
