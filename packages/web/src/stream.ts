export { type StreamPageOptions, streamPage } from './page/stream-page.ts'
