import { parseNetwork } from '@flow402x/core'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { httpRpc } from '../chain/rpc.ts'
import { committingNonce, nonceSalt } from '../checks/commitment.ts'
import type { TransferMethod } from '../checks/payer.ts'
import { toHex } from '../crypto/bytes.ts'
import type { Permit2Transfer } from '../crypto/eip712.ts'
import { signWith } from '../crypto/signer.ts'
import { allowanceFor } from './allowance.ts'
import { permit2Digest, permit2TypedData } from './typed-data.ts'
import { exactPermit2, keyOf, type Permit2Scheme } from './wire.ts'

/** What paying by Permit2 takes. */
export type Permit2PayerOptions = {
  /**
   * JSON-RPC nodes by network (CAIP-2 or friendly). Where there is one, a missing approval is made up for by a signature if the seller
   * takes one, and else told before anything is signed; elsewhere the seller tells it, with 412.
   */
  readonly rpcUrls?: Readonly<Record<string, string>>
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
  /**
   * The most, in wei, that an approval of Permit2 may cost the payer which he signs for the seller's facilitator to hand on, where the
   * seller offers that and the token has no permit. It approves all of the token, once. What a rollup asks for its data comes on top. Without it none is signed.
   */
  readonly maxApprovalFee?: bigint
  readonly fetch?: typeof globalThis.fetch
}

/**
 * Lets `exactEvmClient` pay by Permit2 as well: tokens without EIP-3009, such as DAI, once their owner has approved Permit2.
 *
 * Errors: `config/unknown-network`, `config/bad-rpc-url`; from `prepare` `evm/approval-required`, `evm/rpc`, `evm/call-failed`.
 */
export function permit2(options: Permit2PayerOptions = {}): TransferMethod {
  return permit2Method(exactPermit2, options)
}

/** Pays by a signed Permit2 transfer through the proxy of a scheme. */
export function permit2Method({ scheme, proxy }: Permit2Scheme, options: Permit2PayerOptions = {}): TransferMethod {
  const { rpcUrls = {}, fetch, timeoutMs = 10_000, maxApprovalFee } = options
  const nodes = new Map(Object.entries(rpcUrls).map(([name, url]) => [parseNetwork(name), httpRpc({ url, fetch, timeoutMs })]))
  return {
    name: 'permit2',
    refuse({ asset, payTo, extra }) {
      if (!isAddress(asset) || !isPayable(payTo)) return 'asset or payTo is no address'
      const facilitator = extra?.facilitatorAddress
      const isNamed = typeof facilitator === 'string' && isPayable(facilitator)
      return scheme === 'upto' && !isNamed ? 'extra names no facilitatorAddress' : undefined
    },
    async sign(requirements, { signer, random, now, maxTimeoutSeconds, binding, extensions: offered, signal }) {
      const { network, asset, payTo, amount, extra } = requirements
      const chainId = chainIdOf(network)
      const { address: from } = signer
      const facilitator = scheme === 'upto' ? String(extra?.facilitatorAddress) : undefined
      if (chainId === undefined || !isAddress(from) || !isAddress(asset) || !isAddress(payTo)) return undefined
      if (facilitator !== undefined && !isAddress(facilitator)) return undefined
      const rpc = nodes.get(network)
      const deadline = BigInt(Math.floor(now) + Math.floor(maxTimeoutSeconds))
      const wanted = { requirements, asset, owner: from, deadline, offered, maxApprovalFee }
      const extensions = rpc && (await allowanceFor(wanted, { rpc, signer, signal }))
      const salt = random(new Uint8Array(binding === undefined ? 32 : nonceSalt))
      const transfer: Permit2Transfer = {
        permitted: { token: asset, amount: BigInt(amount) },
        spender: proxy,
        nonce: BigInt(binding === undefined ? toHex(salt) : committingNonce(salt, binding)),
        deadline,
        witness: { to: payTo, ...(facilitator === undefined ? {} : { facilitator }), validAfter: 0n },
      }
      const signature = await signWith(signer, {
        digest: () => permit2Digest(chainId, transfer),
        typedData: () => permit2TypedData(chainId, transfer),
      })
      const payload = { signature, permit2Authorization: { from, ...toWire(transfer) } }
      return { payload, key: keyOf({ from, ...transfer }, network), ...(extensions === undefined ? {} : { extensions }) }
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
