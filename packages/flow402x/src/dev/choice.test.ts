import { evmBalances, exactEvmClient, privateKeySigner } from '@flow402x/adapters-evm/client'
import { exactSolanaClient, secretKeySender, solanaBalances } from '@flow402x/adapters-solana/client'
import { type ClientOptions, createClient, heldFunds, receiptOf } from '@flow402x/client'
import { assetId, assetOf } from '@flow402x/core'
import { verifies } from '@flow402x/testing/requirements'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Dev, startDev } from './dev.ts'

let dev: Dev
beforeAll(async () => {
  dev = await startDev()
})
afterAll(() => dev?.close())

function chains() {
  const [evm] = dev.chains
  if (evm === undefined || dev.solana === undefined) throw new TypeError('a chain is missing')
  return { evm, solana: dev.solana }
}

/** A wallet with a key on both chains: of the accounts that have USDC, or of those that have none. */
function walletOf({ evm: onEvm, solana: onSolana }: { readonly evm: 'rich' | 'poor'; readonly solana: 'rich' | 'poor' }) {
  const { evm, solana } = chains()
  const payer = privateKeySigner(onEvm === 'rich' ? evm.buyer.privateKey : evm.owner.privateKey)
  const sender = secretKeySender(onSolana === 'rich' ? solana.buyer.privateKey : solana.owner.privateKey)
  const client = (options: Partial<ClientOptions> = {}) =>
    createClient({
      schemes: [exactEvmClient({ signer: payer }), exactSolanaClient({ signer: sender })],
      funds: heldFunds([
        evmBalances({ address: payer.address, rpcUrls: { [evm.network]: evm.rpcUrl } }),
        solanaBalances({ address: sender.address, rpcUrls: { [solana.network]: solana.rpcUrl } }),
      ]),
      ...options,
    })
  return { client, evm, solana, url: `${dev.world.seller.url}/weather?place=Oslo` }
}

const paidOn = async (response: Response) => ({ status: response.status, network: receiptOf(response)?.network })

describe('a client with wallets on two chains', () => {
  it('pays where it has the money, whatever the seller offers first and the client likes best', async () => {
    verifies('CLIENT-CHOICE')
    const poorOnEvm = walletOf({ evm: 'poor', solana: 'rich' })
    const poorOnSolana = walletOf({ evm: 'rich', solana: 'poor' })
    const { evm, solana, url } = poorOnEvm
    for (const prefer of [undefined, [evm.network], [solana.network]]) {
      const liking = prefer === undefined ? {} : { prefer }
      expect(await paidOn(await poorOnEvm.client(liking).fetch(url))).toEqual({ status: 200, network: solana.network })
      expect(await paidOn(await poorOnSolana.client(liking).fetch(url))).toEqual({ status: 200, network: evm.network })
    }
  })

  it('pays as it likes best where it has the money on both: by network, by asset, or by its own word', async () => {
    verifies('CLIENT-CHOICE')
    const { client, evm, solana, url } = walletOf({ evm: 'rich', solana: 'rich' })
    for (const network of [evm.network, solana.network]) {
      const usdc = assetOf(network)
      for (const prefer of [[network], [assetId(usdc)], [`${network}/${network.startsWith('eip155') ? 'erc20' : 'token'}:${usdc.address}`]])
        expect(await paidOn(await client({ prefer }).fetch(url))).toEqual({ status: 200, network })
      const picking = client({
        prefer: (terms) => terms.find((one) => one.asset.network === network) ?? terms[0] ?? nothing(),
      })
      expect(await paidOn(await picking.fetch(url))).toEqual({ status: 200, network })
    }
  })

  it('is never asked to like what it cannot pay', async () => {
    verifies('CLIENT-CHOICE')
    const { client, solana, url } = walletOf({ evm: 'poor', solana: 'rich' })
    const shown: string[][] = []
    const choosing = client({
      prefer: (terms) => {
        shown.push(terms.map(({ asset }) => asset.network))
        return terms[0] ?? nothing()
      },
    })
    expect((await choosing.fetch(url)).status).toBe(200)
    expect(shown).toEqual([[solana.network]])
  })

  it('says of each offer why it pays none, and signs nothing', async () => {
    verifies('CLIENT-CHOICE')
    const { client, url } = walletOf({ evm: 'poor', solana: 'poor' })
    const signed: string[] = []
    const poor = client({ onEvent: ({ type }) => void signed.push(type) })
    const failure = await poor.fetch(url).catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'client/no-payable-offer', moneyMoved: 'no' })
    expect(String(failure)).toMatch(
      /the wallet holds 0 USDC, and 0\.001 USDC are asked.*the wallet holds 0 USDC, and 0\.001 USDC are asked/,
    )
    expect(signed).not.toContain('signing')
    expect(await poor.quote(url)).toMatchObject({ kind: 'unpayable', leftOut: [{ why: expect.stringContaining('holds 0 USDC') }, {}] })
  })

  it('pays where nobody can tell what it holds', async () => {
    const { evm, solana, client, url } = walletOf({ evm: 'rich', solana: 'poor' })
    const deaf = solanaBalances({ address: solana.owner.address, rpcUrls: { [solana.network]: 'http://127.0.0.1:9' } })
    const blind = evmBalances({ address: evm.buyer.address, rpcUrls: { 'eip155:8453': evm.rpcUrl } })
    const response = await client({ funds: heldFunds([deaf, blind]), prefer: [evm.network] }).fetch(url)
    expect(await paidOn(response)).toEqual({ status: 200, network: evm.network })
  })
})

function nothing(): never {
  throw new TypeError('there is nothing to choose from')
}
