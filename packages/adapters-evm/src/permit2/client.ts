import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { committingNonce, nonceSalt } from '../checks/commitment.ts'
import type { TransferMethod } from '../checks/payer.ts'
import { toHex } from '../crypto/bytes.ts'
import type { Permit2Transfer } from '../crypto/eip712.ts'
import { signWith } from '../crypto/signer.ts'
import { permit2Digest, permit2TypedData } from './typed-data.ts'
import { exactPermit2, keyOf, type Permit2Scheme } from './wire.ts'

/** Lets `exactEvmClient` pay by Permit2 as well: tokens without EIP-3009, such as DAI, once their owner has approved Permit2. */
export function permit2(): TransferMethod {
  return permit2Method(exactPermit2)
}

/** Pays by a signed Permit2 transfer through the proxy of a scheme. */
export function permit2Method({ scheme, proxy }: Permit2Scheme): TransferMethod {
  return {
    name: 'permit2',
    refuse({ asset, payTo, extra }) {
      if (!isAddress(asset) || !isPayable(payTo)) return 'asset or payTo is no address'
      const facilitator = extra?.facilitatorAddress
      const isNamed = typeof facilitator === 'string' && isPayable(facilitator)
      return scheme === 'upto' && !isNamed ? 'extra names no facilitatorAddress' : undefined
    },
    async sign({ network, asset, payTo, amount, extra }, { signer, random, now, maxTimeoutSeconds, binding }) {
      const chainId = chainIdOf(network)
      const { address: from } = signer
      const facilitator = scheme === 'upto' ? String(extra?.facilitatorAddress) : undefined
      if (chainId === undefined || !isAddress(from) || !isAddress(asset) || !isAddress(payTo)) return undefined
      if (facilitator !== undefined && !isAddress(facilitator)) return undefined
      const salt = random(new Uint8Array(binding === undefined ? 32 : nonceSalt))
      const transfer: Permit2Transfer = {
        permitted: { token: asset, amount: BigInt(amount) },
        spender: proxy,
        nonce: BigInt(binding === undefined ? toHex(salt) : committingNonce(salt, binding)),
        deadline: BigInt(Math.floor(now) + Math.floor(maxTimeoutSeconds)),
        witness: { to: payTo, ...(facilitator === undefined ? {} : { facilitator }), validAfter: 0n },
      }
      const signature = await signWith(signer, {
        digest: () => permit2Digest(chainId, transfer),
        typedData: () => permit2TypedData(chainId, transfer),
      })
      return { payload: { signature, permit2Authorization: { from, ...toWire(transfer) } }, key: keyOf({ from, ...transfer }, network) }
    },
  }
}

function toWire({ permitted, spender, nonce, deadline, witness }: Permit2Transfer) {
  return {
    permitted: { token: permitted.token, amount: `${permitted.amount}` },
    spender,
    nonce: `${nonce}`,
    deadline: `${deadline}`,
    witness: { ...witness, validAfter: `${witness.validAfter}` },
  }
}
