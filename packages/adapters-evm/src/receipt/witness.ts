import { isX402Error, parseNetwork } from '@flow402x/core'
import type { PaymentWitness, WitnessedTransfer } from '@flow402x/core/bazaar'
import * as z from 'zod/mini'
import { decodeWord, hexSchema } from '../chain/abi.ts'
import { isAddress } from '../chain/address.ts'
import { toQuantity } from '../chain/fees.ts'
import { type Confirmations, depthOf, finalBlock } from '../chain/finality.ts'
import { type EvmReader, evmReader } from '../chain/reader.ts'
import { receiptOf } from '../chain/receipt.ts'
import { isAccepted, proofOf, signatureCheck } from '../checks/proof.ts'
import { transferred, word } from '../checks/topics.ts'
import type { Hex } from '../crypto/bytes.ts'
import { nobleSecp256k1, type Secp256k1 } from '../crypto/secp256k1.ts'
import { checksumAddress } from '../crypto/signer.ts'
import { textDigest } from './text.ts'

/** How a bazaar looks at an EVM network. */
export type EvmWitnessOptions = {
  /** A CAIP-2 id, or a friendly name such as "base". */
  readonly network: string
  readonly rpcUrl: string
  /** How deep a payment's block must lie before it speaks for anybody; as deep as the chain asks unless told. */
  readonly confirmations?: Confirmations
  /** The first block in which funders are looked for, for nodes that search no further back; the first of all unless told. */
  readonly fromBlock?: bigint
  readonly secp256k1?: Secp256k1
  readonly fetch?: typeof globalThis.fetch
}

const foundSchema = z.array(z.looseObject({ topics: z.array(hexSchema), data: hexSchema, removed: z.nullish(z.boolean()) }))
const nobody = `0x${'0'.repeat(40)}`

/**
 * Tells a bazaar who paid whom on an EVM network, who funded whom, and who signed what: EIP-191 by keys, EIP-1271 by contracts.
 *
 * Errors: `config/unknown-network`, `config/not-evm`, `config/bad-rpc-url`; when asked `evm/rpc`, `evm/call-failed`.
 */
export function evmPaymentWitness(options: EvmWitnessOptions): PaymentWitness {
  const network = parseNetwork(options.network)
  const { rpcUrl, confirmations = depthOf(network), fromBlock = 0n, secp256k1 = nobleSecp256k1, fetch } = options
  const reader: EvmReader = evmReader({ network, rpcUrl, ...(fetch === undefined ? {} : { fetch }) })
  const { rpc } = reader

  return {
    network,
    async signed(text, { address, signature, signal }) {
      if (!isAddress(address) || !/^0x(?:[0-9a-fA-F]{2}){1,4096}$/.test(signature)) return false
      await reader.start({ signal })
      const digest = textDigest(text)
      // It has the form of hex, which was just seen.
      const proof = proofOf(signature as Hex, { payer: address, digest, secp256k1 })
      if (proof === undefined || proof.by === 'undeployed') return false
      const [answer] = await reader.read([signatureCheck({ payer: address, digest, proof })], { signal })
      // One without code answers nothing, and its key alone signs for it.
      if (answer?.success === true && answer.data !== '0x') return isAccepted(answer.data)
      return proof.by === 'key'
    },
    async transfers(transaction, { signal } = {}) {
      if (!/^0x[0-9a-fA-F]{64}$/.test(transaction)) return undefined
      await reader.start({ signal })
      const receipt = await receiptOf({ rpc, signal }, transaction)
      if (receipt === undefined || !receipt.success || receipt.block > (await finalBlock(rpc, confirmations))) return undefined
      return receipt.logs.flatMap(({ address, topics, data, index }): WitnessedTransfer[] => {
        const [event, from, to, ...more] = topics
        const amount = decodeWord(z.parse(hexSchema, data))
        if (event?.toLowerCase() !== transferred || from === undefined || to === undefined || more.length > 0 || amount === undefined)
          return []
        return [{ asset: address, from: addressIn(from), to: addressIn(to), amount, index }]
      })
    },
    async funder(address, { asset, least, signal }) {
      if (!isAddress(address) || !isAddress(asset)) return undefined
      await reader.start({ signal })
      const filter = { address: asset, topics: [transferred, null, word(address)], fromBlock: toQuantity(fromBlock), toBlock: 'latest' }
      const found = await rpc.ask({ method: 'eth_getLogs', params: [filter], result: foundSchema }, { signal }).catch(unsearchable)
      const first = found.find(({ removed, topics, data }) => removed !== true && topics.length === 3 && (decodeWord(data) ?? 0n) >= least)
        ?.topics[1]
      // What was minted to it has no sender.
      return first === undefined || addressIn(first).toLowerCase() === nobody ? undefined : addressIn(first)
    },
  }
}

/** Public nodes search only so far back: who cannot be found stands for himself. */
function unsearchable(error: unknown): z.infer<typeof foundSchema> {
  if (isX402Error(error, 'evm/call-failed')) return []
  throw error
}

function addressIn(topic: string): Hex {
  return checksumAddress(`0x${topic.slice(-40)}`)
}
