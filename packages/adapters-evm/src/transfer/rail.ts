import { type Asset, type Call, formatAmount, isX402Error } from '@flow402x/core'
import { type TokenChain, type Transfer, tokenErrors } from '@flow402x/core/token'
import { encodeCall } from '../chain/abi.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import type { Asking } from '../chain/receipt.ts'
import type { Hex } from '../crypto/bytes.ts'
import { heldBy } from './held.ts'
import { transferStatus } from './status.ts'

/**
 * How the first signer of a chain sends a token, or the coin, by transactions of its own: signed after the chain was asked whether
 * they would succeed, and for what gas.
 *
 * Errors of `sign` and `cost`: `token/insufficient`, `evm/would-revert`, `evm/no-gas-money`, `evm/gas-cap`, `evm/fee-cap`, `evm/rpc`,
 * `config/wrong-chain`.
 */
export function evmRail(chain: EvmChain, asset: Asset): NonNullable<TokenChain['rail']> {
  const [sender = ''] = chain.signers
  const callFor = async (transfer: Transfer, signal: AbortSignal | undefined): Promise<Call> => {
    await chain.start({ signal })
    await checkFunds({ asset, sender, amount: transfer.amount }, { rpc: chain.rpc, signal })
    return callOf(transfer, asset, chain)
  }
  return {
    network: chain.network,
    sender,
    async sign(transfer, { signal }) {
      const call = await callFor(transfer, signal)
      return await chain.sign([call], { signer: sender, nonce: await chain.nonce(sender, { signal }) })
    },
    send: (signed) => chain.send(signed),
    status: (signed) => transferStatus(chain, signed),
    final: () => chain.final(),
    // Another transaction of this wallet may have taken the nonce.
    retries: (error) => isX402Error(error, 'evm/refused'),
    cost: async (transfer, { signal }) => ({ fee: await chain.cost([await callFor(transfer, signal)], { signer: sender }) }),
  }
}

type Funding = { readonly asset: Asset; readonly sender: string; readonly amount: bigint }

async function checkFunds({ asset, sender, amount }: Funding, asking: Asking): Promise<void> {
  const held = await heldBy(sender, asset, asking)
  if (held >= amount) return
  throw tokenErrors('token/insufficient', { address: sender, held: formatAmount(held, asset), needed: formatAmount(amount, asset) })
}

function callOf({ recipient, amount }: Transfer, { address, transfer }: Asset, { maxGasPerPayment: gas }: EvmChain): Call {
  if (transfer === 'native') return { target: recipient, data: '0x', value: amount, gas, alone: true }
  return { target: address, data: encodeCall('0xa9059cbb', [hex(recipient), amount]), gas, alone: true }
}

function hex(text: string): Hex {
  return `0x${text.slice(2)}`
}
