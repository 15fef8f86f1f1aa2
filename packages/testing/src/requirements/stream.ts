import type { Requirement } from './requirement.ts'

/** What must hold of streams, by id: `T` and `F` are the tests and failures of streaming.md §15 and §10. */
export const streamRequirements = {
  'FS1-CLIENT-ALLOW': {
    text: 'A budget can be raised while its stream flows or stands still, and nothing beyond it is ever signed or deposited.',
    link: 'streaming.md §2',
  },
  'NEXT-APP': {
    text: 'Inside a built Next application routes ask, serve who pays, and stream as long as they are paid.',
    link: 'streaming.md §11',
  },
  'FS1-PAGE': {
    text: 'Who opens a stream in a browser sees a page that pays it, stops with the payment, and shows what strangers wrote as text; programs get the offer.',
    link: 'DESIGN.md §8.4',
  },
  F7: {
    text: 'A seller who claims up to the ceiling takes one window at most, and the rest is his payer’s to take out.',
    link: 'streaming.md §10 F7',
  },
  F20: { text: 'A reader who does not read stops the source.', link: 'streaming.md §10 F20' },
  'FS1-ATTACH': {
    text: 'Players and sockets find their lane at whichever instance they come to, and a lane draws on nothing but its own route.',
    link: 'streaming.md §8.3, §6 M1',
  },
  'FS1-HOT': {
    text: 'Channels in Redis lose at most the vouchers of one flush, of lanes that are open, and nothing where they are synchronous.',
    link: 'streaming.md §8.2',
  },
  F9: {
    text: 'A crash after an answer in `fast` and before the flush forgets the vouchers between, which come again with the next one.',
    link: 'streaming.md §10 F9',
  },
  'FS1-LANE-BEARER': {
    text: 'Who draws on a lane by a header shows its name and the seller’s own code for it.',
    link: 'streaming.md §5.2 Flow402x-Lane',
  },
  'FS1-TOGETHER': {
    text: 'Ticks of a lane that queue are judged from the highest that is signed, which speaks for all; one that is not signed is refused alone.',
    link: 'streaming.md §3.2',
  },
  'FS1-VIEW-GRANT': {
    text: 'A purchase gives exactly the views that were paid, to the wallet that paid, over any number of instances and crashes.',
    link: 'streaming.md §8, §11 f',
  },
  'FS1-BINDINGS': {
    text: 'Sources, bytes, answers of handlers, keys, segments, windows and views are sold alike in every framework.',
    link: 'streaming.md §11',
  },
  'FS1-PING': {
    text: 'A stream that is silent is written to, so that no proxy cuts it, and one that flows is not.',
    link: 'streaming.md §11',
  },
  'FS1-SILENCE': {
    text: 'Time in which nothing comes costs a tick on both sides, and a stream that was silent goes on by itself with what comes next.',
    link: 'streaming.md §2, §3.3, §10 F6',
  },
  'FS1-VANISHED': {
    text: 'A reader who vanishes stops the meter within a tick, and the source is aborted.',
    link: 'streaming.md §4',
  },
  'FS1-CLIENT-SOCKET': {
    text: 'A socket is paid in band, by frames, for what came as in a body and no more, and what it used is the same on both sides.',
    link: 'streaming.md §6',
  },
  F6: { text: 'A server that takes money and delivers nothing gets one window.', link: 'streaming.md §10 F6' },
  'FS1-CLIENT-BUDGET': {
    text: 'What a stream signs is reserved in the budget before, and the stream ends where the budget does.',
    link: 'streaming.md §2',
  },
  'FS1-CLIENT-TICKS': {
    text: 'A refused tick is followed by no further signature, but where it says from where to sign.',
    link: 'streaming.md §6',
  },
  F12: { text: 'With the store down nothing unpaid leaves.', link: 'streaming.md §10 F12' },
  F10: { text: 'What was delivered since the last checkpoint of a crash is the seller’s loss, and no more.', link: 'streaming.md §10 F10' },
  F8: { text: 'A voucher that was not stored is not acknowledged, and is sent again.', link: 'streaming.md §10 F8' },
  T24: { text: 'A database that is away gates all lanes, leaks nothing, and lets them go on.', link: 'streaming.md §15 T24' },
  T22: { text: 'A voucher whose answer was lost is taken again, and is no second credit.', link: 'streaming.md §15 T22' },
  T21: { text: 'A lane whose owner was killed goes on elsewhere: no unit is billed twice.', link: 'streaming.md §15 T21' },
  T14: { text: 'One voucher at two instances is accepted once, a thousand times over.', link: 'streaming.md §15 T14' },
  T1: { text: 'The official client opens a stream, keeps it flowing by windows, and is charged what flowed.', link: 'streaming.md §15 T1' },
  F21: { text: 'A flood of ticks costs little: 404 before cryptography, 429 for each lane.', link: 'streaming.md §10 F21' },
  F15: { text: 'A deposit that fails opens nothing.', link: 'streaming.md §10 F15' },
  F5: { text: 'A payer who withdraws while it streams gets no new credit.', link: 'streaming.md §10 F5' },
  T19: {
    text: 'Forged ticks are refused before any signature is looked at, or as seldom as their lane may tick.',
    link: 'streaming.md §15 T19',
  },
  'FS1-IDLE': {
    text: 'A stream that waits keeps little alive: no function, layout, timer or signal of its own, and nothing of what paid for it.',
    link: 'streaming.md §15 Soak',
  },
  'FS1-SOAK': { text: 'Ticks leave nothing behind: the heap of who takes them does not grow.', link: 'streaming.md §15 Soak' },
  'FS1-UNITS': {
    text: 'A rate may count anything: what is known, and any word whose units its seller debits himself.',
    link: 'streaming.md §3.3',
  },
  'FS1-RESUME': { text: 'A lane goes on where it was, for who knows its name and for nobody else.', link: 'streaming.md §6 M7' },
  'FS1-GATE': {
    text: 'The gate stands before the write: what is not paid is neither asked of a source nor charged, and gated time costs nothing.',
    link: 'streaming.md §4',
  },
  F22: { text: 'A wall clock that jumps costs nobody anything.', link: 'streaming.md §10 F22' },
  T11: { text: 'Whoever stops paying gets nothing beyond his credit.', link: 'streaming.md §15 T11' },
  'FS1-SOCKET': {
    text: 'A socket is one lane: a message leaves when it is paid, reserved bytes close it with 1002, more than 32 waiting ticks with 1008.',
    link: 'streaming.md §6',
  },
  'FS1-MEDIA-CLOCK': {
    text: 'A recording is metered by the clock of its content, which is read from its file; what nobody can measure is not sold.',
    link: 'DESIGN.md §8.1',
  },
  T4: {
    text: 'A range is exactly as long as it is paid, and all ranges together are the whole.',
    link: 'streaming.md §15 T4',
  },
  M25: { text: 'A lane has one owner: who was replaced changes nothing more, and no unit is billed twice.', link: 'money-rules.md M25' },
  M29: {
    text: 'Credit is granted in slices to the lane that ticked; a channel has one grade at a time and few lanes.',
    link: 'money-rules.md M29',
  },
  F3: { text: 'An old or lower voucher changes nothing.', link: 'streaming.md §10 F3' },
  F4: { text: 'One voucher at two places: one accepts it.', link: 'streaming.md §10 F4' },
  F14: { text: 'Of two owners one is fenced off.', link: 'streaming.md §10 F14' },
  T20: {
    text: 'What a lane did not use is given back and sold again, and no more is claimed than was consumed.',
    link: 'streaming.md §15 T20',
  },
  T5: {
    text: 'A key of HLS answers 402 until it is paid, the next one still does, and the segments are everybody’s to cache.',
    link: 'streaming.md §15 T5',
  },
  'FLOW-API': {
    text: 'The mission’s snippets run as written; what they leave unsaid stands in variables, and one that is missing is named at start.',
    link: 'DESIGN.md §8.1',
  },
  T8: { text: 'Who has paid a view sees it again without paying; another viewer is asked for money.', link: 'streaming.md §15 T8' },
  T6: {
    text: 'A socket is paid by frames of 98 bytes, and nothing is charged while it is paused for thirty seconds.',
    link: 'streaming.md §15 T6',
  },
  T7: { text: 'A pass is good until its time and not a millisecond longer, and no store is asked.', link: 'streaming.md §15 T7' },
  T3: {
    text: 'Ten thousand tokens at a tenth of an atomic unit cost a thousand, exactly.',
    link: 'streaming.md §15 T3',
  },
  'FS1-COST': {
    text: 'Units cost ⌈num·u/den⌉, u counted from the lane’s origin: no drift, and prices below one atomic unit add up.',
    link: 'streaming.md §3.3',
  },
  'FS1-HEADERS': {
    text: 'Headers of a stream follow their grammar: unknown keys are ignored, duplicates and more than 512 characters refused.',
    link: 'streaming.md §5.2, §5.3',
  },
  'FS1-OFFER': {
    text: 'An offer that contradicts itself or its headers is refused; PAYMENT-REQUIRED is what counts, and decimals are the client’s own.',
    link: 'streaming.md §5.4, §5.5',
  },
  'FS1-MESSAGES': {
    text: 'Ticks, their answers, words about a lane and control events are read by their schemas.',
    link: 'streaming.md §6',
  },
  'FS1-FRAMES': { text: 'Frames have their exact sizes and byte orders, and reserved bytes close the socket.', link: 'streaming.md §6' },
  T13: {
    text: 'A voucher above what is usable, of another chain or channel, or not signed by its key in the one form is refused.',
    link: 'streaming.md §15 T13',
  },
  T25: {
    text: 'On Solana the nonce rail settles, refuses replays, survives a revoke at no more than what is open, and obeys no side alone.',
    link: 'streaming.md §15 T25',
  },
  'FS1-NONCE-VECTOR': {
    text: 'The message of a nonce voucher is a function of accounts, nonce and amount, and the same bytes on both sides.',
    link: 'streaming.md §12.3',
  },
  M30: {
    text: 'A channel on nonces is rebased from what its settlement moved and never from balances; an epoch that ends without a transfer settled zero.',
    link: 'money-rules.md M30',
  },
  F1: {
    text: 'A client that dies after it signed loses nothing to an honest server, and counts what it signed as spent.',
    link: 'streaming.md §10 F1',
  },
  T12: {
    text: 'A voucher that is older or lower than the highest is refused with 409, and the same one is taken again.',
    link: 'streaming.md §15 T12',
  },
  T15: {
    text: 'Where a payer takes his money back in mid-stream, credit stops within one reading and what can be had is settled.',
    link: 'streaming.md §15 T15',
  },
  T18: {
    text: 'A corrective 402 says from where to go on to whom the channel belongs.',
    link: 'streaming.md §15 T18',
  },
  T23: {
    text: 'A runner that dies after its settlement was sent finishes it from what it wrote down.',
    link: 'streaming.md §15 T23',
  },
  F11: {
    text: 'A crash after a settlement was sent costs nobody anything.',
    link: 'streaming.md §10 F11',
  },
  F17: {
    text: 'A facilitator that ends an epoch or a channel early takes what was not settled, and no more.',
    link: 'streaming.md §10 F17',
  },
  'FS1-NONCE-TRIGGERS': {
    text: 'On Solana what is owed is settled at a dollar, after a minute, and at once where its payer leaves.',
    link: 'streaming.md §9',
  },
  T2: {
    text: 'A payer who signs each second never has more signed beyond what was delivered than his window costs.',
    link: 'streaming.md §15 T2',
  },
  T9: {
    text: 'A channel is filled again in mid-stream, and no chunk waits for it.',
    link: 'streaming.md §15 T9',
  },
  T17: {
    text: 'Where a server stalls or lies its payer stops signing, loses one window at most, and gets the rest out.',
    link: 'streaming.md §15 T17',
  },
  F2: {
    text: 'A client that lost its books goes on from its own signature, or from what the chain shows.',
    link: 'streaming.md §10 F2',
  },
  M31: {
    text: 'Nobody puts money into a channel that he cannot get out, and what names a channel comes back with its key.',
    link: 'money-rules.md M31',
  },
  'FS1-CHANNELS-FACTS': {
    text: 'Addresses, vouchers and instructions of the payment-channels program are those that are published.',
    link: 'wire.md §15',
  },
  'FS1-CHANNELS-RING': {
    text: 'Where a chain pays a voucher exactly, the one that is settled is the highest that was consumed to its end.',
    link: 'streaming.md §1.4',
  },
  'FS1-CHANNELS-RAIL': {
    text: 'A lane over a channel of the payment-channels program is opened, paid, bounded, settled and left as over any other channel.',
    link: 'streaming.md §12.2',
  },
  F18: {
    text: 'A stolen voucher key pays its own receivers what was put in or brings it back to its wallet, and is left behind with another key.',
    link: 'streaming.md §10 F18',
  },
  F19: {
    text: 'A stolen key of the receiver’s side claims what was signed for him and gives back the rest, and redirects nothing.',
    link: 'streaming.md §10 F19',
  },
  F24: { text: 'What was not settled before its payer could leave is lost, told, and no more than that.', link: 'streaming.md §10 F24' },
  'FS1-CHANNELS-SETTLE': {
    text: 'A channel of the payment-channels program is taken only where it is wholly its receiver’s, settled as its state and time allow, and left by its payer without help.',
    link: 'streaming.md §12.2',
  },
  'FS1-FINAL': {
    text: 'Where a chain pays a voucher exactly, an exact one is signed at a lane’s end; who vanishes without it leaves at most his windows unpaid.',
    link: 'streaming.md §3.4',
  },
  T10: {
    text: 'A hundred channels with live lanes are claimed and settled: the receiver has what was consumed, and a second run does nothing.',
    link: 'streaming.md §15 T10',
  },
  T16: { text: 'Of many channels of which one is drained all others are claimed, and that one is told.', link: 'streaming.md §15 T16' },
  F23: { text: 'A channel whose claim would fail takes no other along.', link: 'streaming.md §10 F23' },
  F13: {
    text: 'Books that were restored from a backup are raised to what the chain shows, and take the newest voucher.',
    link: 'streaming.md §10 F13',
  },
  F16: { text: 'With the facilitator away ticks go on, and deposits and what is owed wait for it.', link: 'streaming.md §10 F16' },
  'FS1-WINDOWS': {
    text: 'Where a chain has no vouchers a window is a whole payment, settled before it is sold, sold once, and not given back.',
    link: 'streaming.md §12.4',
  },
  'FS1-HLS-LOADER': {
    text: 'A player pays for the parts of a programme that ask for money, each once, before it asks for them, and for nothing else.',
    link: 'streaming.md §11 c',
  },
  'FS1-CLIENT-REST': {
    text: 'Where a channel cannot be filled its payer signs for what is left of it, and keeps nothing set aside for what could not be signed.',
    link: 'streaming.md §6 M8',
  },
  'FS1-CLIENT-KILLED': {
    text: 'A payer that is killed in mid-stream has signed no more than came and a window, and goes on from his books; his seller claims what came.',
    link: 'streaming.md §10 F1',
  },
  'FS1-CLIENT-WINDOWS': {
    text: 'Any x402 client reads a stream by windows: each payment buys exactly one, and what is not used is the payer’s again.',
    link: 'streaming.md §2',
  },
  'FS1-CLIENT-MEDIA': {
    text: 'Who pays for seconds of a recording counts those whose bytes came, and signs for no window more, however slowly they come.',
    link: 'streaming.md §3.3',
  },
  'FS1-CLIENT-WHOLE': {
    text: 'A recording that breaks off goes on at the byte where it did, or not at all; what is over begins anew for who pays anew.',
    link: 'streaming.md §6 M7',
  },
  'FS1-KEPT-PASSES': {
    text: 'A pass that was paid for is shown until it is over, to the origin that gave it and to no other, and bought no second time.',
    link: 'streaming.md §11 e, f',
  },
} as const satisfies Readonly<Record<string, Requirement>>
