export { createPasses, type Pass, type Passes, type PassKind } from './access/pass.ts'
export { accountOf } from './access/proof.ts'
export { createViews, type View, type ViewGrant, type Views, type ViewsOptions } from './access/view.ts'
export type { KeptViews, ViewWitness } from './access/view-books.ts'
export { type AskedWindow, createWindows, type WindowGrant, type Windows, type WindowsOptions, windowed } from './access/window.ts'
export { type SocketOptions, type SocketServer, sockets, type Upgrade } from './bindings/socket.ts'
export type { Admission } from './engine/entry.ts'
export type { StreamEvent } from './engine/instance.ts'
export type { StreamRate } from './engine/offers.ts'
export type { StreamAnswer, StreamRequest } from './engine/request.ts'
export { createStreams, type StreamRoute, type Streams, type StreamsOptions } from './engine/streams.ts'
export type { FrameTick } from './engine/ticks.ts'
export { createHlsCounter, type HlsCounter, type HlsCounterOptions } from './hls/counter.ts'
export { createHlsKeys, type HlsKeys, type HlsKeysOptions } from './hls/keys.ts'
export { type KeyedOptions, keyedPlaylist, type Playlist, parsePlaylist, type Segment } from './hls/playlist.ts'
export type { BytesOptions, SoldBytes } from './http/bytes.ts'
export { type Entered, enter, unpaid } from './http/enter.ts'
export type { AnswerHead, GateOptions } from './http/gate.ts'
export type { Part, Take } from './http/part.ts'
export type { Lane, LaneEvent, LaneReceipt, LaneState } from './lane/lane.ts'
export type { Source } from './transports/pump.ts'
export { askedBytes, type ByteSource, type BytesOnLane, fileSource, partOnLane, unsatisfiable, wholeOnLane } from './transports/range.ts'
export { type PaidSocket, type RawSocket, runSocket, type SocketRun, type Ticked } from './transports/socket.ts'
export {
  type ByteMeter,
  byteMeter,
  type Clockwork,
  createTap,
  type Recording,
  type Tap,
  type TapOptions,
  wallMeter,
} from './transports/tap.ts'
export { type TappedEnd, tapResponse } from './transports/tapped-response.ts'
