import { parseNetwork } from '@flow402x/core'
import { decodeWord, hexSchema } from '../chain/abi.ts'
import { chainIdOf, isAddress, isPayable } from '../chain/address.ts'
import { evmErrors } from '../chain/errors.ts'
import { httpRpc, type Rpc } from '../chain/rpc.ts'
import { committingNonce, nonceSalt } from '../checks/commitment.ts'
import type { TransferMethod } from '../checks/payer.ts'
import { type Hex, toHex } from '../crypto/bytes.ts'
import type { Permit2Transfer } from '../crypto/eip712.ts'
import { signWith } from '../crypto/signer.ts'
import { allowanceCall } from './proxy.ts'
import { permit2Digest, permit2TypedData } from './typed-data.ts'
import { exactPermit2, keyOf, type Permit2Scheme, permit2Address } from './wire.ts'

/** What paying by Permit2 takes. */
export type Permit2PayerOptions = {
  /**
   * JSON-RPC nodes by network (CAIP-2 or friendly). Where there is one, a missing approval is told before anything is signed; elsewhere the
   * seller tells it, with 412.
   */
  readonly rpcUrls?: Readonly<Record<string, string>>
  /** How long one RPC request may take, in milliseconds. 10,000 unless told. */
  readonly timeoutMs?: number
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
  const { rpcUrls = {}, fetch = globalThis.fetch, timeoutMs = 10_000 } = options
  const nodes = new Map(Object.entries(rpcUrls).map(([name, url]) => [parseNetwork(name), httpRpc({ url, fetch, timeoutMs })]))
  return {
    name: 'permit2',
    refuse({ asset, payTo, extra }) {
      if (!isAddress(asset) || !isPayable(payTo)) return 'asset or payTo is no address'
      const facilitator = extra?.facilitatorAddress
      const isNamed = typeof facilitator === 'string' && isPayable(facilitator)
      return scheme === 'upto' && !isNamed ? 'extra names no facilitatorAddress' : undefined
    },
    async sign({ network, asset, payTo, amount, extra }, { signer, random, now, maxTimeoutSeconds, binding, signal }) {
      const chainId = chainIdOf(network)
      const { address: from } = signer
      const facilitator = scheme === 'upto' ? String(extra?.facilitatorAddress) : undefined
      if (chainId === undefined || !isAddress(from) || !isAddress(asset) || !isAddress(payTo)) return undefined
      if (facilitator !== undefined && !isAddress(facilitator)) return undefined
      const rpc = nodes.get(network)
      if (rpc !== undefined) await assertApproved({ network, asset, owner: from, needed: BigInt(amount) }, { rpc, signal })
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

type Approving = { readonly network: string; readonly asset: Hex; readonly owner: Hex; readonly needed: bigint }

async function assertApproved(
  approving: Approving,
  { rpc, signal }: { readonly rpc: Rpc; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { target: to, data } = allowanceCall(approving.asset, approving.owner)
  const answer = await rpc.ask({ method: 'eth_call', params: [{ to, data }, 'latest'], result: hexSchema }, { signal })
  const allowed = decodeWord(answer) ?? 0n
  if (allowed < approving.needed) throw evmErrors('evm/approval-required', { ...approving, spender: permit2Address, allowed })
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
