/** When what channels owe is settled (FS/1 §9, Solana). */
export type RunnerPolicy = {
  /** As soon as one channel owes so much: "$1" unless told. */
  readonly amount?: string
  /** What has been owed for so many seconds: 60 unless told, since its payer can leave at any time. */
  readonly age?: number
  /** Less than this is not worth the fee: "$0.01" unless told. */
  readonly atLeast?: string
  /** Milliseconds between rounds, in each of which every channel that owes something is looked at; 15,000 unless told. */
  readonly every?: number
}
