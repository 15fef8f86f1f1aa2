export { type BrowserChannelsOptions, browserChannels } from './channels/browser.ts'
