import * as z from 'zod/mini'
import { feeOf } from '../ledger/fee.ts'
import { blockhashBlocks } from '../ledger/slots.ts'
import { readMessage } from '../ledger/transaction.ts'
import { refuse } from '../refusal.ts'
import { apiVersion, commitmentOf, inContext, type Method, method } from './method.ts'
import { addressSchema, configSchema, countSchema, readBytes } from './parameters.ts'

const none = z.union([z.tuple([]), z.null()])
const onlyConfig = z.tuple([configSchema({})])
const slotsPerEpoch = 432_000n

/** The methods about the chain itself: its health, slots and blockhashes. */
export const chainMethods: Readonly<Record<string, Method>> = {
  getHealth: method(none, () => 'ok'),
  getVersion: method(none, () => ({ 'solana-core': apiVersion, 'feature-set': 0 })),
  getGenesisHash: method(none, ({ genesisHash }) => genesisHash),
  getSlot: method(onlyConfig, (chain, [config]) => chain.slots.slot(commitmentOf(chain, config))),
  getBlockHeight: method(onlyConfig, (chain, [config]) => chain.slots.blockHeight(commitmentOf(chain, config))),
  getTransactionCount: method(onlyConfig, ({ bank }) => bank.history.count()),
  getFirstAvailableBlock: method(none, ({ slots }) => slots.slot('finalized') - blockhashBlocks),
  getEpochInfo: method(onlyConfig, (chain, [config]) => {
    const commitment = commitmentOf(chain, config)
    const absoluteSlot = chain.slots.slot(commitment)
    return {
      absoluteSlot,
      blockHeight: chain.slots.blockHeight(commitment),
      epoch: absoluteSlot / slotsPerEpoch,
      slotIndex: absoluteSlot % slotsPerEpoch,
      slotsInEpoch: slotsPerEpoch,
      transactionCount: chain.bank.history.count(),
    }
  }),
  getEpochSchedule: method(none, () => ({
    slotsPerEpoch,
    leaderScheduleSlotOffset: slotsPerEpoch,
    warmup: false,
    firstNormalEpoch: 0,
    firstNormalSlot: 0,
  })),
  getLatestBlockhash: method(onlyConfig, (chain, [config]) => {
    const commitment = commitmentOf(chain, config)
    return inContext(chain, commitment, chain.slots.lifetime(commitment))
  }),
  isBlockhashValid: method(z.tuple([addressSchema, configSchema({})]), (chain, [hash, config]) => {
    const commitment = commitmentOf(chain, config)
    return inContext(chain, commitment, chain.slots.isValid(hash, commitment))
  }),
  getFeeForMessage: method(z.tuple([z.string(), configSchema({})]), (chain, [text, config]) => {
    const commitment = commitmentOf(chain, config)
    const message = readMessage(readBytes(text, 'base64'))
    return inContext(chain, commitment, chain.slots.isValid(message.lifetimeToken, commitment) ? feeOf(message) : null)
  }),
  getRecentPrioritizationFees: method(z.union([z.tuple([z.optional(z.nullish(z.array(addressSchema)))]), z.null()]), ({ slots }) => {
    const newest = slots.slot('processed')
    // No block is full here, so a transaction lands without a bid.
    return Array.from({ length: Number(blockhashBlocks) }, (_, index) => ({
      slot: newest - blockhashBlocks + 1n + BigInt(index),
      prioritizationFee: 0,
    }))
  }),
  getMinimumBalanceForRentExemption: method(z.tuple([countSchema, configSchema({})]), ({ bank }, [space]) => bank.rentFor(BigInt(space))),
  getBlockTime: method(z.tuple([countSchema]), ({ slots }, [slot]) => {
    const time = slots.timeOf(BigInt(slot))
    if (time === undefined) throw refuse('blockNotAvailable', `Block not available for slot ${slot}`)
    return time
  }),
}
