type Interleaving<Name, Sample> = {
  readonly rounds: number
  /** Whether a round is run before those that count; not where each sample warms itself up. */
  readonly warmUp?: boolean
  readonly run: (name: Name, options: { readonly warm: boolean }) => Promise<Sample>
}

/** Runs every contender once a round, in turn: what the machine does meanwhile falls on all of them. A first round warms up. */
export async function interleave<Name extends string, Sample>(
  contenders: readonly Name[],
  { rounds, warmUp = true, run }: Interleaving<Name, Sample>,
): Promise<Record<Name, Sample[]>> {
  const samples = new Map<Name, Sample[]>(contenders.map((name) => [name, []]))
  for (let round = warmUp ? 0 : 1; round <= rounds; round += 1) {
    for (const name of contenders) {
      const sample = await run(name, { warm: round === 0 })
      if (round > 0) samples.get(name)?.push(sample)
    }
  }
  // The map has an entry for every name.
  return Object.fromEntries(samples) as Record<Name, Sample[]>
}
