// What browsers load must stay small: bytes after minifying and gzip, with everything that it needs.

const checks = [
  {
    name: 'core: every export, with zod',
    path: 'packages/core/dist/index.js',
    limit: '23 kB',
  },
  {
    name: 'core: a header read',
    path: 'packages/core/dist/index.js',
    import: '{ paymentRequiredHeader }',
    limit: '12 kB',
  },
  {
    name: 'a browser buyer: fetch, exact on EVM, a private-key account',
    import: {
      'packages/client/dist/index.js': '{ createClient }',
      'packages/adapters-evm/dist/client.js': '{ exactEvmClient, privateKeySigner }',
    },
    limit: '45 kB',
  },
  {
    name: 'a reader of paid streams: payStream',
    path: 'packages/stream/dist/client.js',
    import: '{ payStream }',
    limit: '20 kB',
  },
  {
    name: 'a player of paid programmes: hlsLoader',
    path: 'packages/stream/dist/client.js',
    import: '{ hlsLoader }',
    limit: '24 kB',
  },
  {
    name: 'the script of a stream’s page: wallets, channels, players',
    path: 'packages/web/dist/streamScript.js',
    limit: '92 kB',
  },
  {
    name: 'the script of the page of what is bought whole: wallets, exact payments',
    path: 'packages/web/dist/checkoutScript.js',
    limit: '64 kB',
  },
  {
    name: 'what that page loads for a wallet of Solana',
    path: 'packages/web/dist/solanaScript.js',
    limit: '54 kB',
  },
]

// Published modules are files of their own, so that what is not needed can be left out; esbuild would say so of each.
const modifyEsbuildConfig = (config) => ({ ...config, logOverride: { 'ignored-bare-import': 'silent' } })

export default checks.map((check) => ({ ...check, gzip: true, modifyEsbuildConfig }))
