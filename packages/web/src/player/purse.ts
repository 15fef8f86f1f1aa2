import { batchSettlementClient, type EvmSigner, evmReader, privateKeySigner } from '@flow402x/adapters-evm/client'
import { createClient, requestRefund, streamWallet } from '@flow402x/client'
import { type ChannelStore, type ClientScheme, lockedFunds, type SettleResponse, sameAddress } from '@flow402x/core'
import type { StreamWallet } from '@flow402x/core/stream'
import { keptKey, type PayingWallet } from '../wallet/evm.ts'

/** What pays from this page: one wallet, its channels on one network, and how much of its money may lie in them now. */
export interface Purse {
  readonly wallet: StreamWallet
  /** What of the wallet's money lies in channels and is not spent (atomic). */
  locked(): Promise<bigint>
  /** Asks the seller of this URL for what is left. */
  refund(url: string): Promise<SettleResponse>
}

// More than a page should ever be trusted with: each stream has a budget of its own below it.
const mostDollars = '$25'

/** A purse. `cap` says how much may lie with one seller, whenever a deposit is made. */
export function openPurse(
  { signer, node }: PayingWallet,
  { network, channels, cap }: { readonly network: string; readonly channels: ChannelStore; readonly cap: () => string },
): Purse {
  // A wallet that asks its owner would ask every second: vouchers are signed by a key of this page, which can pay nobody else.
  const voucherSigner = node && privateKeySigner(keptKey(`vouchers of ${signer.address.toLowerCase()}`))
  const schemes: ClientScheme[] = [
    batchSettlementClient({
      signer,
      networks: [network],
      store: { channels },
      maxDeposit: cap,
      maxLocked: mostDollars,
      chains: node === undefined ? [] : [evmReader({ network, ...node })],
      ...(voucherSigner === undefined ? {} : { voucherSigner }),
    }),
  ]
  const client = createClient({ schemes, budget: { perPayment: mostDollars, total: mostDollars } })
  return {
    wallet: streamWallet(client),
    async locked() {
      let sum = 0n
      for await (const channel of channels.list({ side: 'payer' }))
        if (channel.network === network && isOf(channel.config, { signer, voucherSigner })) sum += lockedFunds(channel)
      return sum
    },
    refund: (url) => requestRefund(url, { schemes }),
  }
}

type Signers = { readonly signer: EvmSigner; readonly voucherSigner: EvmSigner | undefined }

function isOf({ payer, payerAuthorizer }: Readonly<Record<string, unknown>>, { signer, voucherSigner = signer }: Signers): boolean {
  return sameAddress(String(payer), signer.address) && sameAddress(String(payerAuthorizer), voucherSigner.address)
}
