import { toFacilitatorEvmSigner } from '@x402/evm'
import { createWalletClient, http, nonceManager, publicActions, type VerifyTypedDataParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { hex, type Nonces } from './terms.ts'

/** An account of the official house, and how it counts its nonces. */
export type OfficialAccount = { readonly rpcUrl: string; readonly key: string; readonly nonces: Nonces }

/** What a facilitator of the official house sends with. */
export function officialSigner({ rpcUrl, key, nonces }: OfficialAccount) {
  const managed = nonces === 'managed'
  const account = privateKeyToAccount(hex(key), managed ? { nonceManager } : {})
  const polling = managed ? { pollingInterval: 50 } : {}
  const wallet = createWalletClient({ account, chain: baseSepolia, transport: http(rpcUrl), ...polling }).extend(publicActions)
  return toFacilitatorEvmSigner({
    address: account.address,
    readContract: (call) => wallet.readContract({ ...call, args: call.args ?? [] }),
    // The official package leaves open what viem spells out; it hands over complete typed data.
    verifyTypedData: (call) => wallet.verifyTypedData(call as VerifyTypedDataParameters),
    writeContract: (call) => wallet.writeContract({ ...call, args: call.args ?? [] }),
    sendTransaction: (call) => wallet.sendTransaction(call),
    waitForTransactionReceipt: (call) => wallet.waitForTransactionReceipt(call),
    getCode: (call) => wallet.getCode(call),
  })
}
