export { type ProvePass, type ViewSigner, viewProver } from './access/proof.ts'
export { type PaidDownload, type PayDownloadOptions, payDownload } from './client/download.ts'
export type { SseChunk } from './client/lines.ts'
export { type KeptPass, memoryPasses, type PassStore, storedPasses, type TextStorage } from './client/pass-store.ts'
export { type KeepPassesOptions, keepPasses } from './client/passes.ts'
export {
  type PaidStream,
  type PayStreamOptions,
  payStream,
  type StreamChunk,
  type StreamEvent,
  type StreamReceipt,
} from './client/pay-stream.ts'
export { type PaidWebSocket, type PayWebSocketOptions, payWebSocket, type RawWebSocket } from './client/socket.ts'
export type { ProgrammeReceipt } from './hls/buyer.ts'
export { type HlsLoader, type HlsLoaderOptions, hlsLoader } from './hls/loader.ts'
