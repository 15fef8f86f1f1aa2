export { type EvmWitnessOptions, evmPaymentWitness } from './receipt/witness.ts'
