import { BlockList, isIP } from 'node:net'

// RFC 6890 and its registry: nothing of this is a public host.
const notPublic = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const

// Of IPv6 only global unicast is public, and of that not what carries or stands for other addresses.
const globalUnicast = ['2000::', 3] as const
const notPublicSix = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const

const blockedFour = listOf(notPublic, 'ipv4')
const blockedSix = listOf(notPublicSix, 'ipv6')
const publicSix = listOf([globalUnicast], 'ipv6')
const loopback = listOf([['127.0.0.0', 8]], 'ipv4')

/** Whether an address is one of the public internet: what is mapped, translated, tunnelled or scoped is none. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 4) return !blockedFour.check(address, 'ipv4')
  return family === 6 && !address.includes('%') && publicSix.check(address, 'ipv6') && !blockedSix.check(address, 'ipv6')
}

/** Whether an address is this machine itself. */
export function isLoopbackAddress(address: string): boolean {
  return isIP(address) === 4 ? loopback.check(address, 'ipv4') : address === '::1'
}

function listOf(subnets: readonly (readonly [string, number])[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList()
  for (const [net, prefix] of subnets) list.addSubnet(net, prefix, family)
  return list
}
