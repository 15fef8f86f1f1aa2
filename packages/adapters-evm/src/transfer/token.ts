import { type Asset, sameAddress } from '@flow402x/core'
import { type Owed, type TokenAdapter, type WalletOptions, walletTokenAdapter } from '@flow402x/core/token'
import { isAddress } from '../chain/address.ts'
import { type EvmChainOptions, type EvmSender, evmChain } from '../chain/evm-chain.ts'
import { type Confirmations, depthOf, finalBlock } from '../chain/finality.ts'
import { evmReader } from '../chain/reader.ts'
import { assetHere } from '../checks/seller.ts'
import { heldBy } from './held.ts'
import { coinTransfer, type MinedTransaction, readMined, transfersOf } from './moved.ts'
import { evmRail } from './rail.ts'
import { checkedRecipient } from './recipient.ts'

/** One token, or the coin, of an EVM network. */
export type EvmTokenAdapterOptions = WalletOptions &
  Pick<EvmChainOptions, 'network' | 'rpcUrl' | 'fees' | 'maxGasPerPayment' | 'timeoutMs' | 'fetch'> & {
    /** A symbol or address of the table, the coin's symbol (`"ETH"`, `"POL"`), or all facts of a token. The network's stablecoin unless told. */
    readonly asset?: string | Asset
    /** Who pays: a private key or an account. Without it payments are looked up and none is made. */
    readonly signer?: string | EvmSender
    /** How deep a payment must lie to be valid: at a depth that suits the network unless told. */
    readonly confirmations?: Confirmations
  }

/**
 * Pays in one token of an EVM network, or its coin, by transactions of the wallet's own, and looks such payments up. Valid is what the
 * token's own events show, in a block that is deep enough: exactly this much for the recipient, after what the token took on the way.
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/unknown-asset`, `config/bad-private-key`, `config/bad-address`,
 * `config/bad-rpc-url`, `config/unsafe-local-key`; from its methods `token/…`, `evm/…` and `config/wrong-chain`.
 */
export function evmTokenAdapter(options: EvmTokenAdapterOptions): TokenAdapter {
  const { signer, confirmations } = options
  const { network, rpc, start } = evmReader(options)
  const asset = assetHere(network, options.asset)
  const rail = signer === undefined ? undefined : evmRail(evmChain({ ...options, network, signers: [signer] }), asset)
  return walletTokenAdapter(
    {
      asset,
      rail,
      recipient: (text, sender) => checkedRecipient(text, { asset, sender }),
      async standing(transaction, owed, { signal }) {
        if (!/^0x[0-9a-fA-F]{64}$/.test(transaction) || !isAddress(owed.recipient)) return 'other'
        await start({ signal })
        // Asked before the transaction: what is final now is so when that is read, whatever is replaced in between.
        const deepest = await finalBlock(rpc, confirmations ?? depthOf(network))
        const mined = await readMined({ rpc, signal }, transaction)
        if (mined === undefined) return 'unknown'
        if (!pays(mined, owed, asset)) return 'other'
        return mined.block <= deepest ? 'valid' : 'shallow'
      },
      async held(address, { signal }) {
        await start({ signal })
        return await heldBy(address, asset, { rpc, signal })
      },
    },
    options,
  )
}

/** Whether a transaction paid exactly what is owed: what the recipient gained by it, whoever called what. */
function pays(mined: MinedTransaction, owed: Owed, { address, transfer }: Asset): boolean {
  const gained = transfer === 'native' ? coinGained(mined, owed) : tokenGained(mined, owed, address)
  return mined.success && gained > 0n && (owed.amount === undefined || gained === owed.amount)
}

function coinGained(mined: MinedTransaction, { recipient, sender }: Owed): bigint {
  const moved = coinTransfer(mined)
  const isTheirs = moved !== undefined && sameAddress(moved.to, recipient) && !sameAddress(moved.from, recipient)
  return isTheirs && (sender === undefined || sameAddress(moved.from, sender)) ? moved.amount : 0n
}

function tokenGained({ logs }: MinedTransaction, { recipient, sender }: Owed, token: string): bigint {
  let gained = 0n
  for (const { from, to, amount } of transfersOf(logs, token)) {
    if (sameAddress(from, recipient)) gained -= amount
    if (!sameAddress(to, recipient)) continue
    if (sender !== undefined && !sameAddress(from, sender)) return 0n
    gained += amount
  }
  return gained
}
