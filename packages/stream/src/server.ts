export { createHlsKeys, type HlsKeys, type HlsKeysOptions } from './transports/hls-keys.ts'
export { createPasses, type Pass, type Passes, type PassKind } from './transports/pass.ts'
export { type KeyedOptions, keyedPlaylist, type Playlist, parsePlaylist, type Segment } from './transports/playlist.ts'
export { createViews, type View, type ViewGrant, type Views, type ViewsOptions } from './transports/view.ts'
