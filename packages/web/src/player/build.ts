import { writeFile } from 'node:fs/promises'
import { playerScript } from './bundle.ts'

// What `#player` is once the package is built: the script itself, with nothing to bundle it.
const script = await playerScript()
await writeFile('dist/player.js', `const script = ${JSON.stringify(script)}\nexport const playerScript = async () => script\n`)
