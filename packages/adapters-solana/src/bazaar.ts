export { type SolanaWitnessOptions, solanaPaymentWitness } from './receipt/witness.ts'
