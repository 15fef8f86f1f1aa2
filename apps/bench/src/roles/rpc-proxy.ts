import { Agent, request as forward } from 'node:http'
import { listen } from '../houses/listen.ts'
import { playRole, roleArgument } from '../measure/part.ts'

/** The chain that stands behind the proxy. */
export type ProxyArgument = { readonly rpcUrl: string }

/** Sets the delay of each round trip in milliseconds; says how many there were since it was asked last, and of what. */
export type ProxyCalls = {
  delay(milliseconds: number): void
  seen(options: null): { readonly roundTrips: number; readonly methods: Readonly<Record<string, number>> }
}

const { rpcUrl } = roleArgument<ProxyArgument>()
const agent = new Agent({ keepAlive: true })
let milliseconds = 0
let roundTrips = 0
let methods: Record<string, number> = {}

const url = await listen((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = Buffer.concat(chunks)
    roundTrips += 1
    for (const [, method = ''] of body.toString('latin1').matchAll(/"method":"(\w+)"/g)) methods[method] = (methods[method] ?? 0) + 1
    const pass = () => {
      const headers = { 'content-type': 'application/json', 'content-length': body.length }
      const onward = forward(rpcUrl, { method: 'POST', agent, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, { 'content-type': 'application/json' })
        answer.pipe(response)
      })
      onward.once('error', () => response.destroy()).end(body)
    }
    if (milliseconds === 0) pass()
    else setTimeout(pass, milliseconds)
  })
})

playRole(
  { url },
  {
    delay(given: number) {
      milliseconds = given
    },
    seen() {
      const seen = { roundTrips, methods }
      roundTrips = 0
      methods = {}
      return seen
    },
  },
)
