/** One thing that must hold: a sentence, and the public page or the section of the references it comes from. */
type Requirement = { readonly text: string; readonly link: string }

const spec = 'https://github.com/x402-foundation/x402/blob/main/specs'
const http2 = `${spec}/transports-v2/http.md`
const http1 = `${spec}/transports-v1/http.md`
const core2 = `${spec}/x402-specification-v2.md`

/** Every requirement that a test of this repository proves, by id. `H`, `A` and `M` are rows of the hazards and money rules. */
export const requirements = {
  'HTTP-BASE64': { text: 'Payment headers are one value of standard base64 over UTF-8 JSON; padding may be missing.', link: http2 },
  'NET-ASSETS': { text: 'Tokens have the address, decimals, EIP-712 domain and transfer method of the table, and a $ means the first of a network.', link: 'wire.md §6' },
  H53: { text: 'No number stands in the money path: amounts are exact for 0 to 18 decimals, and a price below one atomic unit is refused at start.', link: 'hazards.md H53' },
  A17: { text: 'A swapped asset, network or unit is refused: assets are known by network and address, and decimals come from our table.', link: 'hazards.md A17' },
  'V1-ASCII': { text: 'What is encoded for version 1 is ASCII.', link: http1 },
  'JSON-NULL': { text: 'Optional fields may be null, and unknown fields survive.', link: core2 },
} as const satisfies Readonly<Record<string, Requirement>>

/** The id of a requirement. */
export type RequirementId = keyof typeof requirements

/** Says that the test it is called in performs a requirement's scenario; `conventions.test.ts` reads the calls, so running one does nothing. */
export function verifies(_id: RequirementId | readonly RequirementId[]): void {}
