import { findAsset, type Network } from '@flow402x/core'
import { type Address, getAddress } from 'viem'
import { type RpcCall, setCode } from '../chains/json-rpc.ts'
import { batchSettlement, dai, eip3009Collector, exactPermit2Proxy, permit2Collector, uptoPermit2Proxy, usdt } from './artifacts.ts'
import { permit2Address, permit2Code } from './permit2.ts'

/**
 * Where the contracts that payments go through stand, on local chains as on live ones.
 *
 * On a local chain Permit2 is the real bytecode, and the x402 contracts are equivalents of our own, written to the published
 * interface; on a live chain they are the canonical deployments.
 */
export const contracts = {
  permit2: permit2Address,
  exactPermit2Proxy: '0x402085c248EeA27D92E8b30b2C58ed07f9E20001',
  uptoPermit2Proxy: '0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002',
  batchSettlement: '0x4020074e9dF2ce1deE5A9C1b5c3f541D02a10003',
  eip3009Collector: '0x4020806089470a89826cB9fB1f4059150b550004',
  permit2Collector: '0x4020425FAf3B746C082C2f942b4E5159887B0005',
} as const satisfies Record<string, Address>

/** The calls that put these contracts in place; they may run side by side. */
export function contractCode(network: Network): RpcCall[] {
  const chainId = Number(network.slice('eip155:'.length))
  return [
    setCode(contracts.permit2, permit2Code(chainId)),
    setCode(contracts.exactPermit2Proxy, exactPermit2Proxy.code),
    setCode(contracts.uptoPermit2Proxy, uptoPermit2Proxy.code),
    setCode(contracts.batchSettlement, batchSettlement.code),
    setCode(contracts.eip3009Collector, eip3009Collector.code),
    setCode(contracts.permit2Collector, permit2Collector.code),
    ...tokens.flatMap(({ symbol, name, code }) => {
      const asset = findAsset(network, symbol)
      return asset?.eip712?.name === name ? [setCode(getAddress(asset.address), code)] : []
    }),
  ]
}

/** Equivalents of tokens other than USDC, each placed where the asset table has it. */
const tokens = [
  { symbol: 'DAI', name: 'Dai Stablecoin', code: dai.code },
  { symbol: 'USDT', name: 'USD₮0', code: usdt.code },
]
