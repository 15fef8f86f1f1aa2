import type { Requirement } from './requirement.ts'

/** What must hold of streams, by id: `T` and `F` are the tests and failures of streaming.md §15 and §10. */
export const streamRequirements = {
  'FS1-MEDIA-CLOCK': {
    text: 'A recording is metered by the clock of its content, which is read from its file; what nobody can measure is not sold.',
    link: 'DESIGN.md §8.1',
  },
  T5: {
    text: 'A key of HLS answers 402 until it is paid, the next one still does, and the segments are everybody’s to cache.',
    link: 'streaming.md §15 T5',
  },
  T7: { text: 'A pass is good until its time and not a millisecond longer, and no store is asked.', link: 'streaming.md §15 T7' },
} as const satisfies Readonly<Record<string, Requirement>>
