import type { EvmChain } from '@flow402x/testing'
import type { Listener } from './sample-streams.ts'

/** Where pages of the sample seller get test money. */
export const faucetPath = '/test-wallet'

// Ten dollars, and again once less than five are left: in atomic units of USDC.
const [gift, poor] = [10_000_000n, 5_000_000n]

/** Gives test money to an address of one of these chains: `POST /test-wallet?network=eip155:84532&address=0x…`. */
export function faucet(chains: readonly EvmChain[]): Listener {
  return async (request, response) => {
    const { searchParams } = new URL(request.url ?? '/', 'http://seller.invalid')
    const address = searchParams.get('address') ?? ''
    const chain = chains.find(({ network }) => network === searchParams.get('network'))
    const isOurs = (request.headers['sec-fetch-site'] ?? 'same-origin') === 'same-origin'
    if (!isOurs || chain === undefined || !isAddress(address)) {
      response.writeHead(isOurs ? 400 : 403).end()
      return
    }
    if ((await chain.balanceOf(address)) < poor) await chain.mint(address, gift)
    response.writeHead(204).end()
  }
}

function isAddress(text: string): text is `0x${string}` {
  return /^0x[0-9a-fA-F]{40}$/.test(text)
}
