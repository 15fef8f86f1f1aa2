/** A funded account of a local chain. */
export type DevAccount = { readonly address: string; readonly privateKey: string; readonly role: string }

/** A local chain, of either family. */
export type DevChain = {
  readonly network: string
  readonly rpcUrl: string
  readonly usdc: string
  readonly accounts: readonly DevAccount[]
}

/** A priced route of the sample seller. */
export type DevRoute = {
  readonly method: string
  readonly path: string
  readonly price: string
  readonly scheme: string
  readonly network: string
}

/** What runs in a local world, as `flow402x dev --json` prints it. */
export type DevWorld = {
  readonly evm: readonly DevChain[]
  /** Absent where only EVM networks were asked for. */
  readonly solana?: DevChain
  readonly facilitator: { readonly url: string }
  readonly seller: { readonly url: string; readonly routes: readonly DevRoute[] }
  /** A marketplace in which the seller is listed. */
  readonly bazaar: { readonly url: string }
}
