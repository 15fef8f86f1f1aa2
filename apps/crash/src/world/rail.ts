import { exactEvmClient, privateKeySigner, transferProofEvmClient, uptoEvmClient } from '@flow402x/adapters-evm/client'
import { evmChain } from '@flow402x/adapters-evm/facilitator'
import { exactEvmServer, transferProofEvmServer, uptoEvmServer } from '@flow402x/adapters-evm/server'
import { type Asset, assetOf, type ClientScheme, type ServerScheme } from '@flow402x/core'
import { type EvmChain, startEvmChain } from '@flow402x/testing'
import { encodeEventTopics, getAddress, type Hex, parseAbi, parseEther } from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import * as z from 'zod/mini'

/** A key that holds money on a local chain and nowhere else. */
export type Wallet = { readonly address: string; readonly privateKey: string }

/** One transfer to a payee, as the chain tells it, in atomic units. */
export type Transfer = { readonly from: string; readonly value: bigint; readonly transaction: string }

/** A local chain that shops are paid on, with all that differs between chains. */
export type Rail = {
  readonly network: string
  readonly rpcUrl: string
  /** A wallet that holds a million atomic units. */
  newPayer(): Promise<Wallet>
  /** A wallet that can pay the fees of settlements. */
  newSigner(): Promise<Wallet>
  /** An address that can be paid, and never was. */
  newPayee(): Promise<string>
  /** What handlers say was used of each price, where that is a ceiling. */
  readonly used?: string
  /** What a shop's references are made with, where its payers make transfers of their own. */
  readonly secret?: string
  client(wallet: Wallet): ClientScheme
  server(payTo: string): ServerScheme
  /** Everything a payee was ever paid. */
  transfersTo(payTo: string): Promise<readonly Transfer[]>
  /** How a transaction of this payer spells him, whose fee this signer pays. */
  spells(payer: Wallet, signer: string): readonly string[]
  /** Whether the chain waits for a transaction of this signer that nobody sends. */
  hasGap(signer: string): Promise<boolean>
  stop(): Promise<void>
}

/** A rail, and the name by which the tests call it. */
export type RailPlan = { readonly name: string; start(): Promise<Rail> }

/** Payments by `exact` on an EVM chain. */
export const evm: RailPlan = { name: 'on an EVM chain', start: async () => evmRail(await startEvmChain()) }

/**
 * Payments by `upto` on an EVM chain: every purchase uses half of its price, and every payer signs the approval of Permit2 that goes
 * before his payment.
 */
export const evmUpto: RailPlan = { name: 'by upto on an EVM chain', start: async () => uptoRail(await startEvmChain()) }

/** Transfers on an EVM chain that payers make themselves. */
export const evmTransfers: RailPlan = { name: 'by transfers on an EVM chain', start: async () => transferRail(await startEvmChain()) }

const abi = parseAbi(['event Transfer(address indexed from, address indexed to, uint256 value)'])
const hex = z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]*$/.test(value))
const logs = z.array(z.looseObject({ topics: z.array(hex), data: hex, transactionHash: hex }))

/** A rail on an EVM chain that runs. */
export function evmRail(chain: EvmChain): Rail {
  const { network, rpcUrl } = chain
  return {
    network,
    rpcUrl,
    async newPayer() {
      const payer = newWallet()
      await chain.mint(payer.address, 1_000_000n)
      return payer
    },
    async newSigner() {
      const signer = newWallet()
      await chain.rpc('anvil_setBalance', [signer.address, parseEther('100')])
      return signer
    },
    newPayee: async () => newWallet().address,
    client: ({ privateKey }) => exactEvmClient({ signer: privateKeySigner(hex.parse(privateKey)) }),
    server: (payTo) => exactEvmServer({ network, payTo }),
    async transfersTo(payTo) {
      const topics = encodeEventTopics({ abi, eventName: 'Transfer', args: { to: getAddress(payTo) } })
      const found = await chain.rpc('eth_getLogs', [{ fromBlock: '0x0', toBlock: 'latest', address: chain.usdc.address, topics }])
      return logs.parse(found).map(({ topics: [, from = '0x'], data, transactionHash }) => {
        return { from: getAddress(`0x${from.slice(26)}`), value: BigInt(data), transaction: transactionHash }
      })
    },
    spells: ({ address }) => [address],
    // What is mined and what is known differ where there is a gap or a wedge.
    async hasGap(signer) {
      const count = (at: string) => chain.rpc('eth_getTransactionCount', [signer, at])
      return (await count('latest')) !== (await count('pending'))
    },
    stop: () => chain.stop(),
  }
}

/** The token of these sales, said to have no permit: so its payers are asked for a signed approval. */
export function withoutPermit(network: string): Asset {
  return { ...assetOf(network), permit: false }
}

function uptoRail(chain: EvmChain): Rail {
  const { network, rpcUrl } = chain
  const exact = evmRail(chain)
  return {
    ...exact,
    used: '50%',
    newPayer: () => withCoins(chain, exact.newPayer()),
    client: ({ privateKey }) =>
      uptoEvmClient({
        signer: privateKeySigner(hex.parse(privateKey)),
        rpcUrls: { [network]: rpcUrl },
        maxApprovalFee: parseEther('0.1'),
      }),
    server: (payTo) => uptoEvmServer({ network, payTo, asset: withoutPermit(network) }),
  }
}

function transferRail(chain: EvmChain): Rail {
  const { network, rpcUrl } = chain
  const exact = evmRail(chain)
  const secret = 'known to the processes of one shop'
  return {
    ...exact,
    secret,
    newPayer: () => withCoins(chain, exact.newPayer()),
    client: ({ privateKey }) => transferProofEvmClient({ chain: evmChain({ network, rpcUrl, signers: [privateKey] }), pollMs: 20 }),
    server: (payTo) => transferProofEvmServer({ network, rpcUrl, payTo, secret, asset: 'USDC', confirmations: 0n }),
  }
}

/** A payer with coins for gas of his own. */
async function withCoins(chain: EvmChain, made: Promise<Wallet>): Promise<Wallet> {
  const payer = await made
  await chain.rpc('anvil_setBalance', [payer.address, parseEther('1')])
  return payer
}

function newWallet() {
  const privateKey = generatePrivateKey()
  return { privateKey, address: privateKeyToAddress(privateKey) }
}
