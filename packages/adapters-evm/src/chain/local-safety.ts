import { isLoopback, networkFacts } from '@flow402x/core'
import { evmErrors } from './errors.ts'
import { parseRpcUrl } from './rpc.ts'

// The accounts of the mnemonic "test test test test test test test test test test test junk", whose keys everybody has.
const published = new Set([
  '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266',
  '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
  '0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc',
  '0x90f79bf6eb2c4f870365e785982e1f101e93b906',
  '0x15d34aaf54267db7d7c367839aaf71a00a2c6a65',
  '0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc',
  '0x976ea74026e726554db657fa54763abd0c3a0aa9',
  '0x14dc79964da2c08b23698b3d3cc7ca32193d9955',
  '0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f',
  '0xa0ee7a142d267c1f36714e4a8f75612f20a79720',
])

// The ids of development chains, on which nothing has value.
const worthless = new Set(['eip155:31337', 'eip155:1337'])

/**
 * Refuses a real key on a local chain that bears a real network's id: what it signs there is valid on the real one (DESIGN §7).
 *
 * Errors: `config/unsafe-local-key`, `config/bad-rpc-url`.
 */
export function assertSafeSigners({ network, rpcUrl, signers }: { network: string; rpcUrl: string; signers: readonly string[] }): void {
  if (worthless.has(network) || networkFacts(network)?.testnet === true || !isLoopback(parseRpcUrl(rpcUrl).href)) return
  const real = signers.find((address) => !published.has(address.toLowerCase()))
  if (real !== undefined) throw evmErrors('config/unsafe-local-key', { network, address: real })
}
