/** One side of a comparison: the median of its samples, and the lowest and highest of them. */
export type Side = { readonly median: number; readonly low: number; readonly high: number; readonly samples: number }

/** What a figure is held to. A `ratio` compares with a peer of the same run and gates; an `absolute` depends on the machine. */
export type Target = { readonly text: string; readonly kind: 'ratio' | 'absolute'; readonly met: boolean }

/** One measured figure. `ratio` is ours over official; `status` tells a figure from a row whose engine is absent. */
export type Figure = {
  readonly row: string
  readonly figure: string
  readonly unit: string
  readonly status: 'measured' | 'unavailable'
  readonly ours?: Side
  readonly official?: Side
  readonly mppx?: Side
  readonly floor?: Side
  readonly ratio?: number
  readonly targets: readonly Target[]
  readonly note?: string
}

/** What a row is run with. `share` shrinks its loads: 1 for figures worth reading, less to see that it runs. */
export type Context = {
  readonly rounds: number
  readonly share: number
  /** The folder profiles are written to, if any. */
  readonly profiles: string | undefined
  readonly onProgress: (step: string) => void
}

/** One row of the benchmark. */
export type Row = { readonly name: string; run(context: Context): Promise<readonly Figure[]> }

/** What is known of a figure before it is rounded off: its samples by side. */
export type Measured = Pick<Figure, 'row' | 'figure' | 'unit' | 'note'> & {
  readonly ours: readonly number[]
  readonly official?: readonly number[]
  readonly mppx?: readonly number[]
  readonly floor?: readonly number[]
}

/** Makes a figure of samples; each target is judged on the medians. */
export function figureOf(measured: Measured, targets: readonly Judge[] = []): Figure {
  const { row, figure, unit, note } = measured
  const ours = sideOf(measured.ours)
  const official = measured.official === undefined ? undefined : sideOf(measured.official)
  const mppx = measured.mppx === undefined ? undefined : sideOf(measured.mppx)
  const floor = measured.floor === undefined ? undefined : sideOf(measured.floor)
  const ratio = official === undefined || official.median === 0 ? undefined : ours.median / official.median
  const medians = { ours: ours.median, official: official?.median, floor: floor?.median, ratio }
  return {
    row,
    figure,
    unit,
    status: 'measured',
    ours,
    ...(official === undefined ? {} : { official }),
    ...(mppx === undefined ? {} : { mppx }),
    ...(floor === undefined ? {} : { floor }),
    ...(ratio === undefined ? {} : { ratio }),
    targets: targets.map(({ text, kind, meets }) => ({ text, kind, met: meets(medians) })),
    ...(note === undefined ? {} : { note }),
  }
}

/** A figure that cannot be measured now, with the reason. */
export function absent(figure: Pick<Figure, 'row' | 'figure' | 'note'>): Figure {
  return { ...figure, unit: '', status: 'unavailable', targets: [] }
}

/** The medians a target is judged on. */
export type Medians = {
  readonly ours: number
  readonly official: number | undefined
  readonly floor: number | undefined
  readonly ratio: number | undefined
}

/** A target before it is judged. */
export type Judge = { readonly text: string; readonly kind: Target['kind']; readonly meets: (medians: Medians) => boolean }

/** Ours at most `most` of theirs. */
export function atMostOfOfficial(most: number): Judge {
  return { text: `≤ ${most}× official`, kind: 'ratio', meets: ({ ratio }) => ratio !== undefined && ratio <= most }
}

/** Ours at least `least` times theirs; a peer that does nothing at all is beaten by anything. */
export function atLeastOfOfficial(least: number): Judge {
  return {
    text: `≥ ${least}× official`,
    kind: 'ratio',
    meets: ({ ours, official, ratio }) => (official === 0 ? ours > 0 : ratio !== undefined && ratio >= least),
  }
}

/** At most so much, on a machine like that of the target. */
export function atMost(most: number, unit: string): Judge {
  return { text: `≤ ${most} ${unit}`, kind: 'absolute', meets: ({ ours }) => ours <= most }
}

/** At least so much, on a machine like that of the target. */
export function atLeast(least: number, unit: string): Judge {
  return { text: `≥ ${least} ${unit}`, kind: 'absolute', meets: ({ ours }) => ours >= least }
}

/** Counts that no machine changes, such as round trips: they gate like ratios. */
export function counted(most: number, what: string): Judge {
  return { text: `≤ ${most} ${what}`, kind: 'ratio', meets: ({ ours }) => ours <= most }
}

/** The middle of samples. */
export function median(samples: readonly number[]): number {
  const sorted = samples.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? 0
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2
}

/** The value below which a share of the samples lies. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

function sideOf(samples: readonly number[]): Side {
  return { median: median(samples), low: Math.min(...samples), high: Math.max(...samples), samples: samples.length }
}
