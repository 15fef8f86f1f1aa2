import type { Requirement } from './requirement.ts'

/** What must hold of the bazaar, by id. */
export const bazaarRequirements = {
  H39: { text: 'Sellers and bazaars judge a 402 by the same code, and what is refused is told why.', link: 'hazards.md H39' },
  H40: { text: 'What fails its probes sinks and goes, with its reason, and comes back when it is well.', link: 'hazards.md H40' },
  H41: { text: 'A listing is of the URL that answered and of the payee that its own 402 names.', link: 'hazards.md H41' },
  A20: {
    text: 'What strangers name is fetched from checked public addresses alone, and nothing else is followed.',
    link: 'hazards.md A20',
  },
  A21: {
    text: 'Listing text is bounded data, and what only its own ring pays for stands below what others pay for.',
    link: 'hazards.md A21',
  },
  H12: { text: 'Every resource has a state with a reason, and nothing leaves a catalogue without one.', link: 'hazards.md H12' },
  M34: {
    text: 'The bazaar looks at the transfer on chain itself; payers count by who funds them and by what they pay to unrelated sellers.',
    link: 'money-rules.md M34',
  },
  'BAZAAR-SEARCH': {
    text: 'All filters of the standard and of this project, ranking and paging hold on every store.',
    link: 'wire.md §16.1',
  },
  'BAZAAR-LIMITS': { text: 'One caller has so many questions and registrations at a time, and takes none of others.', link: 'issue 8 §2' },
  'BAZAAR-LEASES': { text: 'Of several instances on one store one looks at a resource at a time.', link: 'DESIGN §6' },
  H27: { text: 'A 402 and the payment that echoes it stay within 8 kB; what does not fit is said elsewhere.', link: 'hazards.md H27' },
  SDK: {
    text: 'The snippets of the sovereign seller and buyer run as written: nothing is sold unpaid, and no retry, batch or cache pays twice.',
    link: 'DESIGN.md §8.2',
  },
  'BAZAAR-CLIENT': {
    text: 'A client of any bazaar gets what it asked for, typed, page after page, and nothing without end.',
    link: 'issue 8 §3',
  },
  'BAZAAR-RECEIPTS': {
    text: 'Offers and receipts count where the payee, or a key that the seller names, signed exactly them, and for nothing else.',
    link: 'wire.md §16.4',
  },
  'BAZAAR-PAGES': {
    text: 'The pages of a bazaar work without scripts, by keyboard and by ear, in light and dark, and load nothing from elsewhere.',
    link: 'issue 8 §4',
  },
  'BAZAAR-CALLS': {
    text: 'What a page shows to be copied does what it says: it compiles, and in a shell it is one command whatever a seller wrote.',
    link: 'issue 8 §4',
  },
  'BAZAAR-STREAMS': { text: 'A stream is listed with its rate, unit, window and transports.', link: 'DESIGN §2' },
} as const satisfies Readonly<Record<string, Requirement>>
