export { type WalletAdapter, web3jsReader, web3jsSigner } from './crypto/web3js.ts'
