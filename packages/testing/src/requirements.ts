import { bazaarRequirements } from './requirements/bazaar.ts'
import type { Requirement } from './requirements/requirement.ts'
import { streamRequirements } from './requirements/stream.ts'

const spec = 'https://github.com/x402-foundation/x402/blob/main/specs'
const http2 = `${spec}/transports-v2/http.md`
const http1 = `${spec}/transports-v1/http.md`
const core2 = `${spec}/x402-specification-v2.md`

/** Every requirement that a test of this repository proves, by id. `H`, `A` and `M` are rows of the hazards and money rules. */
export const requirements = {
  ...streamRequirements,
  ...bazaarRequirements,
  'HTTP-REQUIRED': { text: 'A 402 carries PAYMENT-REQUIRED and is never stored.', link: http2 },
  'HTTP-RECEIPT': { text: 'A paid answer carries PAYMENT-RESPONSE and is private to caches.', link: http2 },
  'HTTP-UNSETTLED': { text: 'A settlement that failed is told in PAYMENT-RESPONSE, with none of the goods.', link: http2 },
  'HTTP-MALFORMED': { text: 'A payment header that cannot be read is 400.', link: http2 },
  'HTTP-NO-MATCH': { text: 'A payment that pays none of the offers is 402 with the offers.', link: http2 },
  'HTTP-ALLOWANCE': { text: 'A missing Permit2 allowance is 412.', link: 'wire.md §1.2' },
  'HTTP-CORS': {
    text: 'Payment headers may be sent and read across origins, with every header that official clients send.',
    link: 'wire.md §1.1',
  },
  'CLIENT-UNASKED': {
    text: 'A client that pays what a route asked before pays that and nothing else, signs once, and asks again where it was not taken.',
    link: 'speed.md',
  },
  'CLIENT-ONCE': { text: 'A client never pays a request that carries a payment already.', link: 'wire.md §1.3' },
  'FLOW-AUTHORIZATION': {
    text: 'By default a payment is verified before the handler and settled after it, and not at all where it failed.',
    link: 'wire.md §5.1',
  },
  'FLOW-UPFRONT': { text: 'With `upfront` a payment is settled before the handler.', link: 'wire.md §5.1' },
  'FAC-SUPPORTED': { text: '`/supported` lists kinds and signers, in the same words at every call.', link: 'wire.md §4' },
  'FAC-200': { text: 'A payment that is refused is an answer of 200.', link: 'wire.md §4' },
  'HTTP-BASE64': { text: 'Payment headers are one value of standard base64 over UTF-8 JSON; padding may be missing.', link: http2 },
  'NET-ASSETS': {
    text: 'Tokens have the address, decimals, EIP-712 domain and transfer method of the table, and a $ means the first of a network.',
    link: 'wire.md §6',
  },
  MATCH: {
    text: 'A payment pays an advertised entry only: every field equal but `extra`, of which the advertised part stands in it unchanged.',
    link: 'wire.md §5.2',
  },
  ECHO: { text: 'Extensions a server declared come back unaltered or not at all; the client may add to them.', link: 'wire.md §5.3' },
  'PAYMENT-ID': {
    text: 'A payment identifier has 16 to 128 letters of a-z, A-Z, 0-9, _ and -.',
    link: `${spec}/extensions/payment_identifier.md`,
  },
  'PAYMENT-ID-ONCE': {
    text: 'A payment identifier with the same payment gives the stored answer, with another payment 409.',
    link: `${spec}/extensions/payment_identifier.md`,
  },
  'VERIFY-JSON': { text: 'A verdict has `isValid`, and a reason when it is false.', link: core2 },
  'SETTLE-JSON': { text: 'A settlement has `success`, `transaction` (empty when nothing was broadcast) and `network`.', link: core2 },
  'FAC-REQUEST': {
    text: '`/verify` and `/settle` take one version, the payment and the requirements; `/supported` takes nothing.',
    link: core2,
  },
  'FAC-PENDING': {
    text: '"Broadcast, outcome unknown" is neither paid nor unpaid: it is asked again with the same payment.',
    link: 'wire.md §4',
  },
  'ERROR-CODES': {
    text: 'Reasons are the strings of the specification; unknown ones pass through, and text after a colon is detail.',
    link: 'wire.md §19',
  },
  M3: {
    text: 'Not settled is not dead: a failure says `never` or `same` with `deadAfter` unless the chain proved more.',
    link: 'money-rules.md M3',
  },
  M4: {
    text: 'Pick-up needs a secret: the payment id is random, known to payer and seller alone, and stripped before anyone else sees the payment.',
    link: 'money-rules.md M4',
  },
  A11: {
    text: 'What is taken on is bounded, for each payer and in all; beyond it callers come again later.',
    link: 'hazards.md A11',
  },
  H33: {
    text: 'A network whose signers ran dry is neither offered nor served, and its operator is told, until they are filled.',
    link: 'hazards.md H33',
  },
  M15: {
    text: 'What a payer has promised counts against his balance, over every facilitator of a store, and after a failure he rides alone.',
    link: 'money-rules.md M15',
  },
  K3: {
    text: 'Killed between writing a transaction down and sending it: those very bytes are sent, or never, and no second nonce is used.',
    link: 'hazards.md §2',
  },
  M16: {
    text: 'A call without a log is judged by the state of its nonce, and not by what the receipt of the whole says.',
    link: 'money-rules.md M16',
  },
  M5: {
    text: 'After settling only the chain says no: a claim nobody has seen is buried as it is asked about, and settles never.',
    link: 'money-rules.md M5',
  },
  H17: {
    text: 'Every error says its code, phase, whether money moved and what to do next; a corrupt header is 400.',
    link: 'hazards.md H17',
  },
  A13: {
    text: 'Exactly one payment header with one value of at most 8 kB is read; everything else is 400 without a call to the facilitator.',
    link: 'hazards.md A13',
  },
  H53: {
    text: 'No number stands in the money path: amounts are exact for 0 to 18 decimals, and a price below one atomic unit is refused at start.',
    link: 'hazards.md H53',
  },
  A17: {
    text: 'A swapped asset, network or unit is refused: assets are known by network and address, and decimals come from our table.',
    link: 'hazards.md A17',
  },
  'V1-BODY': {
    text: 'A v1 402 is a JSON body with a name for the network, the resource in each offer, and no null.',
    link: `${spec}/x402-specification-v1.md`,
  },
  'V1-KNOWN': { text: 'A v1 body lists only what every v1 client knows, and one offer for each network.', link: 'wire.md §3.2' },
  'V1-PAYMENT': { text: 'A v1 payment travels in X-PAYMENT and names scheme and network alone.', link: http1 },
  'V1-RECEIPT': { text: 'A v1 receipt travels in X-PAYMENT-RESPONSE and names its network in v1 words.', link: http1 },
  'V1-FACILITATOR': {
    text: 'A facilitator takes v1 requests, and lists its v1 kinds beside the v2 ones.',
    link: `${spec}/x402-specification-v1.md`,
  },
  'V1-ASCII': { text: 'What is encoded for version 1 is ASCII.', link: http1 },
  H26: { text: 'A 402 or payment of either version becomes one typed value or is refused with a named reason.', link: 'hazards.md H26' },
  'JSON-NULL': { text: 'Optional fields may be null, and unknown fields survive.', link: core2 },
  'EXACT-EVM': {
    text: 'exact by EIP-3009 checks scheme, domain, network, a signature by key, payee, window and amount in this order, then a simulation of the settlement; a signature that only a contract can judge is judged there.',
    link: `${spec}/schemes/exact/scheme_exact_evm.md`,
  },
  'X402-CONTRACTS': {
    text: 'The contracts that local chains hold at the canonical addresses have the published functions, events, errors, type hashes and domains.',
    link: 'wire.md §9, §12',
  },
  'PERMIT2-PROXIES': {
    text: 'The exact proxy pays exactly what was signed, the upto proxy at most that and for the signed facilitator alone, both once and to the signed payee.',
    link: 'wire.md §9',
  },
  'PERMIT2-EVM': {
    text: 'exact by Permit2 checks spender, payee, window, amount and token as they were signed, in this order, then the signature and a simulation of the settlement.',
    link: `${spec}/schemes/exact/scheme_exact_evm.md`,
  },
  'GAS-SPONSORING': {
    text: 'A payer without an approval pays with an EIP-2612 permit or a signed approval that goes along; a sponsor hands on nothing else, and pays for no approval.',
    link: 'wire.md §16.5',
  },
  'UPTO-EVM': {
    text: 'upto names its facilitator in what is signed, settles what was used and never more than the ceiling, and nothing where nothing was used.',
    link: 'wire.md §10',
  },
  H49: {
    text: 'A token without authorizations needs an approval first: who pays is told so before signing, and the server answers 412.',
    link: 'hazards.md H49',
  },
  H28: {
    text: 'What is settled of a ceiling never passes what was signed, and what a handler says was used never leaves the server.',
    link: 'hazards.md H28',
  },
  A10: {
    text: 'Twenty uses of one ceiling at once never take more than it.',
    link: 'hazards.md A10',
  },
  'CHANNEL-CONTRACT': {
    text: 'A channel conserves value, its claims only grow, up to the signed ceiling and the balance; nobody but its receiver and its payer is paid, and the payer leaves after the delay.',
    link: 'wire.md §12.4',
  },
  'EVM-DIGEST': { text: 'Type hashes, domain separators and digests are those of the published vectors.', link: 'wire.md §20' },
  M1: {
    text: 'A used nonce proves nothing: paid is only AuthorizationUsed followed at once by this Transfer of the same token.',
    link: 'money-rules.md M1',
  },
  M8: { text: 'Live claims of a payer never pass what the payer holds, over every process of a store.', link: 'money-rules.md M8' },
  M13: {
    text: 'Trust in a facilitator is bounded in total, what it said is looked up later, and one lie ends it.',
    link: 'money-rules.md M13',
  },
  M11: { text: 'A payment key is built from parsed values: network, token, payer and nonce.', link: 'money-rules.md M11' },
  M12: { text: 'A signature that lives longer than maxTimeoutSeconds and a minute is refused.', link: 'money-rules.md M12' },
  H60: {
    text: 'A record that was left half, or a transaction that no node takes, blocks nobody for good: its nonce is used otherwise.',
    link: 'hazards.md H60',
  },
  M14: {
    text: 'What runs code of the payer settles alone, within a gas cap, and is estimated at the real gas price.',
    link: 'money-rules.md M14',
  },
  M20: {
    text: 'What must come before a settlement is done first or in the same transaction, and doing it again does no harm.',
    link: 'money-rules.md M20',
  },
  A4: { text: 'The case of hex, the encoding of a signature and the order of JSON make no second payment.', link: 'hazards.md A4' },
  A7: {
    text: 'Only listed tokens and allowed factories are called, within absolute caps of gas and fees; nothing hostile is sent.',
    link: 'hazards.md A7',
  },
  A26: { text: 'The signed payee, amount, token and chain are compared with what was asked.', link: 'hazards.md A26' },
  H20: {
    text: 'Typed data always carries EIP712Domain, domains are compared with the chain, and keys, EIP-1271, ERC-6492 and EIP-7702 payers all pay.',
    link: 'hazards.md H20',
  },
  H24: { text: 'Verify simulates the very call that settles: what it calls valid settles in the same state.', link: 'hazards.md H24' },
  M7: { text: 'Before settlement nothing of the handler’s response leaves: no status, header, cookie or byte.', link: 'money-rules.md M7' },
  H3: {
    text: 'The gate and the router read one path: no spelling of a path or of Host opens what was not paid for.',
    link: 'hazards.md H3',
  },
  H4: { text: 'A claim is taken atomically: of copies that come at once one is granted.', link: 'hazards.md H4' },
  H2: { text: 'One logical call signs one authorization, and sends it again, until it is answered or dead.', link: 'hazards.md H2' },
  H5: { text: 'No facilitator, or one that is broken, lets nobody in: an error at start, 503 later.', link: 'hazards.md H5' },
  H6: { text: 'What is signed is within the cap, in a known asset, on an allowed network, whatever is offered.', link: 'hazards.md H6' },
  H7: { text: 'A budget is never passed by parallel calls, and an unknown outcome keeps its amount.', link: 'hazards.md H7' },
  H10: {
    text: 'Handler × settlement is one table for every binding: a failed handler settles nothing, a failed settlement delivers nothing.',
    link: 'hazards.md H10',
  },
  H11: { text: 'A payment is bound to what was bought: method, URL, body and credentials.', link: 'hazards.md H11' },
  H21: { text: 'What a store answered outlives its process, and is shared by every process of the store.', link: 'hazards.md H21' },
  D4: { text: 'A seller that cannot be paid is an error at start and offers nothing.', link: 'hazards.md D4' },
  D5: { text: 'A payment is remembered past its own expiry and the skew of clocks.', link: 'hazards.md D5' },
  M6: { text: 'A claim changes for who holds its state and epoch, and for nobody who slept past it.', link: 'money-rules.md M6' },
  M18: {
    text: 'A store that could lose what it acknowledged is refused at start.',
    link: 'money-rules.md M18',
  },
  M17: {
    text: 'A slot is one nonce of one signer with every transaction signed for it, each written before it is sent; a payment leaves it only when it is final.',
    link: 'money-rules.md M17',
  },
  K1: {
    text: 'Killed while the handler runs: nothing was sent, the claim ends by itself as not settled, and the handler does not run again.',
    link: 'hazards.md §2',
  },
  K2: { text: 'Killed after the handler, with nothing stored: as K1; work is lost and no money moved.', link: 'hazards.md §2' },
  K4: { text: 'Killed after the settlement was asked for: pending until the chain answers, and then one grant.', link: 'hazards.md §2' },
  K5: {
    text: 'Killed after the money moved: listed as paid and undelivered, and the payer’s repeat is not charged.',
    link: 'hazards.md §2',
  },
  K6: { text: 'Killed with the response stored: the same payment id brings the same bytes, and settles nothing.', link: 'hazards.md §2' },
  K7: {
    text: 'Killed between a handler that used a part of a ceiling and its settlement: that part is settled, once, or nothing; never the ceiling.',
    link: 'hazards.md §2, money-rules.md M9',
  },
  H22: { text: 'A browser can read a 402 and its receipt across origins.', link: 'hazards.md H22' },
  H25: { text: 'Every kind of body arrives byte-identical on the paid try.', link: 'hazards.md H25' },
  H34: { text: 'Ten minutes of clock skew pass.', link: 'hazards.md H34' },
  H35: { text: 'Parallel calls pay with distinct payments.', link: 'hazards.md H35' },
  H36: { text: 'A question before signing fails closed on any answer but yes.', link: 'hazards.md H36' },
  H42: { text: 'The books list every payment that moved, and reconcile with the chain to the atomic unit.', link: 'hazards.md H42' },
  A8: { text: 'A transfer that a stranger front-ran pays its claim once, and nobody else.', link: 'hazards.md A8' },
  A9: { text: 'Money that is taken away during the work delivers nothing.', link: 'hazards.md A9' },
  A25: {
    text: 'A facilitator that lies about a settlement is caught, and delivers nothing beyond the trust it is given.',
    link: 'hazards.md A25',
  },
  M9: {
    text: 'A paid request is run again only while it was not delivered, at most three times, for its payer.',
    link: 'money-rules.md M9',
  },
  H31: { text: 'A handler that outlives its payment is ended, and nothing is charged.', link: 'hazards.md H31' },
  H32: { text: 'What was paid and not delivered is listed, and delivered to its payer or refunded.', link: 'hazards.md H32' },
  H43: {
    text: 'What settles, hangs or is owed is told to its owner at least once, signed, with an id to know it again; counts say how it stands.',
    link: 'hazards.md H43',
  },
  H30: {
    text: 'A node that answers one block late delays a settlement, and neither fails it nor has it sent twice.',
    link: 'hazards.md H30',
  },
  H45: { text: 'The payment header follows no redirect to another origin.', link: 'hazards.md H45' },
  H46: {
    text: 'With `upfront` no handler runs unless settled, and a flow that a scheme lacks is refused, not downgraded.',
    link: 'hazards.md H46',
  },
  H52: { text: 'The public origin is an option; Host is not trusted where it is given.', link: 'hazards.md H52' },
  A1: { text: 'Copies of one payment run the handler once and are settled once.', link: 'hazards.md A1' },
  A2: { text: 'A payment made for one method, URL and body is refused for another.', link: 'hazards.md A2' },
  A3: { text: 'Asked to settle one payment many times, a facilitator tells success to one claim.', link: 'hazards.md A3' },
  A14: { text: 'No shared cache keeps a 402 or paid bytes.', link: 'hazards.md A14' },
  A15: { text: 'Terms are frozen before signing, and other terms on the second 402 get no signature.', link: 'hazards.md A15' },
  A16: { text: 'Who is paid comes from the 402 of the requested origin and from no text.', link: 'hazards.md A16' },
  A18: { text: 'A client clamps how long its authorizations live.', link: 'hazards.md A18' },
  A19: {
    text: 'A redirect of the paid try shows the payment to no other origin; a 402 after a redirect belongs to the new one.',
    link: 'hazards.md A19',
  },
  A27: { text: 'Offers over plain HTTP from another machine are refused.', link: 'hazards.md A27' },
  A29: { text: 'There is no default facilitator: a server without one is an error at start.', link: 'hazards.md A29' },
  A30: { text: '402 for ever costs one authorization.', link: 'hazards.md A30' },
  H1: { text: 'A settlement nobody answered for is pending, and later settled in the same transaction.', link: 'hazards.md H1' },
  H9: { text: 'Hundreds of settlements over a failing RPC are all mined, once each, without a nonce gap.', link: 'hazards.md H9' },
  H13: { text: 'Credentials that a facilitator refuses are named as such, and never as a bad payment.', link: 'hazards.md H13' },
  H56: { text: 'Credentials go to one origin, and a wrong shape of them is an error at start.', link: 'hazards.md H56' },
  M32: {
    text: 'What may still be spent stays reserved until the chain proves otherwise, and counts as spent once dead; a payee is pinned per origin.',
    link: 'money-rules.md M32',
  },
  A5: {
    text: 'A payer’s transaction names the fee payer nowhere, is signed by these two alone, and costs no more than a cap in lamports: else it is refused before signing.',
    link: 'hazards.md A5',
  },
  A6: { text: 'A compute price that is absent, twice there, beyond its cap or not to be read is refused.', link: 'hazards.md A6' },
  H19: {
    text: 'What wallets add to a payment is taken: assertions of Lighthouse, memos, their own compute budget. What only looks so is refused.',
    link: 'hazards.md H19',
  },
  H18: {
    text: 'A seller without its token account is an error at start that names the command which creates it.',
    link: 'hazards.md H18',
  },
  H47: { text: 'A payer asks the chain nothing that an offer says, and no RPC is built in.', link: 'hazards.md H47' },
  H48: { text: 'Any signer of Solana pays: keys, kit, web3.js, wallet adapters, the Wallet Standard.', link: 'hazards.md H48' },
  H59: {
    text: 'The fee payer that is advertised is the same at every call, and every one that is managed is taken.',
    link: 'hazards.md H59',
  },
  M19: {
    text: 'What others make a facilitator spend has a budget: token accounts are sponsored, and deposits into channels and refunds made, up to a cap of each day.',
    link: 'money-rules.md M19',
  },
  M21: {
    text: 'A transaction of Solana is dead when a final block is past its blockhash and the history of a node that is as far has nothing.',
    link: 'money-rules.md M21',
  },
  M2: {
    text: 'A success is told again to the same claim only; without a claim, once and after it was pending.',
    link: 'money-rules.md M2',
  },
  'EVM-CHANNEL': {
    text: 'Channel ids, vouchers, refunds, claims and deposits have the digests of the published vectors and of viem.',
    link: 'wire.md §20',
  },
  A23: { text: 'A voucher’s signature is checked before any shortcut, against the key that its channel names.', link: 'hazards.md A23' },
  M28: { text: 'A channel names the key that signs its vouchers; others are refused.', link: 'money-rules.md M28' },
  A24: { text: 'A change on chain of a channel that is being served is noticed, and no books rest on an old row.', link: 'hazards.md A24' },
  M22: {
    text: 'A transfer pays only for whom its reference was given to: for one request, payee, asset and amount; the chain shows only its SHA-256.',
    link: 'money-rules.md M22',
  },
  M23: {
    text: 'A transfer proves a payment only as its sender’s own plain transfer with one tag; what a contract made of it proves nothing.',
    link: 'money-rules.md M23',
  },
  M24: {
    text: 'A transfer that carries a reference of the seller is granted or listed as owed to its payer; a payer writes it down before it is sent.',
    link: 'money-rules.md M24',
  },
  'PLAIN-CHALLENGE': {
    text: 'A 402 names receiver, amount and reference; a transfer and two headers answer it, with 200 or a 400 that says why.',
    link: 'issue 7 §2',
  },
  M26: {
    text: 'A voucher pays once: credit comes only from a stretch that was never sold, whoever shows the voucher again.',
    link: 'money-rules.md M26',
  },
  H15: {
    text: 'A payer signs by his own books: what a server says of a channel lowers or stops what he signs, and raises it only with his own signature.',
    link: 'hazards.md H15',
  },
  A22: { text: 'Neither a hint nor a correction of a server makes a payer sign or deposit past his own caps.', link: 'hazards.md A22' },
  M31: { text: 'Nothing is deposited that its payer could not take out again alone.', link: 'money-rules.md M31' },
  'CHANNEL-EXIT': {
    text: 'A payer leaves a channel with its receiver’s consent, or without it after the delay, and then his books are the chain’s.',
    link: 'wire.md §12.4',
  },
  M27: { text: 'What is being withdrawn, and what a signed refund may still take, is not sold for.', link: 'money-rules.md M27' },
  A28: { text: 'What sellers and strangers wrote is text in every page, and nothing of theirs runs there.', link: 'hazards.md A28' },
  'PAY-PAGE': {
    text: 'Who opens a charged route in a browser sees a page that says what it costs, pays it once with the visitor’s own wallet and shows what came; programs get the offer.',
    link: 'DESIGN.md §8.4',
  },
  'WALLET-FILES': {
    text: 'Keys come from the environment or from files that nobody else may read, plain or encrypted as the standard says, and are never shown.',
    link: 'DESIGN.md §9',
  },
  'CLIENT-CHOICE': {
    text: 'Of several chains and assets a client pays in what it likes best of what its wallets hold, and says why it pays none.',
    link: 'issue 7 §5',
  },
  'PRICE-QUOTED': {
    text: 'A price that depends on the request is asked as it was quoted, for that request alone and until the quote ends.',
    link: 'issue 7 §5',
  },
  'TOKEN-ONCE': {
    text: 'What a wallet sends by itself is written down before it leaves: one id pays once, whatever dies in between.',
    link: 'money-rules.md M24',
  },
  'TOKEN-VALID': {
    text: 'Valid is what the confirmed transaction itself shows: success, recipient, and exactly the amount that arrived.',
    link: 'money-rules.md M10',
  },
} as const satisfies Readonly<Record<string, Requirement>>

/** The id of a requirement. */
export type RequirementId = keyof typeof requirements

/** Says that the test it is called in performs a requirement's scenario; `conventions.test.ts` reads the calls, so running one does nothing. */
export function verifies(_id: RequirementId | readonly RequirementId[]): void {}
