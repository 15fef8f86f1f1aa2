import { type EvmSigner, privateKeySigner } from '@flow402x/adapters-evm/client'
import { formatNetwork } from '@flow402x/core'
import * as z from 'zod/mini'
import { reasonOf, refusedBy, walletErrors } from './errors.ts'

/** A wallet that can pay now. */
export type PayingWallet = {
  readonly name: string
  readonly signer: EvmSigner
  /** How it looks at its network: what it holds and deposits is then read, and never believed. A wallet without it signs unasked. */
  readonly node?: WalletNode
}

/** A wallet's view of its network, as a node is reached. */
export type WalletNode = { readonly rpcUrl: string; readonly fetch: typeof globalThis.fetch }

/** What a wallet in the browser puts into a page (EIP-1193). */
type Provider = { request(asked: { readonly method: string; readonly params?: readonly unknown[] }): Promise<unknown> }

/** A wallet that announced itself (EIP-6963), or the only one there is. */
export type FoundWallet = { readonly name: string; readonly provider: Provider }

const addresses = z.array(z.string()).check(z.minLength(1))
const text = z.string()
const provider = z.custom<Provider>(
  (value) => typeof value === 'object' && value !== null && 'request' in value && typeof value.request === 'function',
)
const announcement = z.object({ info: z.object({ name: z.string().check(z.maxLength(64)), uuid: z.string() }), provider })

/** Tells of each wallet of this browser, once, as it announces itself. */
export function findWallets(found: (wallet: FoundWallet) => void): void {
  const known = new Set<string>()
  const tell = (id: string, wallet: FoundWallet): void => {
    if (known.has(id)) return
    known.add(id)
    found(wallet)
  }
  addEventListener('eip6963:announceProvider', (event) => {
    const { data } = z.safeParse(announcement, 'detail' in event ? event.detail : undefined)
    if (data !== undefined) tell(data.info.uuid, { name: data.info.name, provider: data.provider })
  })
  dispatchEvent(new Event('eip6963:requestProvider'))
  // Wallets answer at once or not at all; older ones stand in the page itself.
  const { ethereum } = globalThis as { readonly ethereum?: unknown } // EIP-1193: nothing else says whether it is there.
  const injected = z.safeParse(provider, ethereum).data
  if (known.size === 0 && injected !== undefined) tell('injected', { name: 'your wallet', provider: injected })
}

/** Asks a wallet for its account and for this network. Errors: `wallet/refused`, `wallet/wrong-network`. */
export async function connectWallet({ name, provider }: FoundWallet, network: string): Promise<PayingWallet> {
  const refused = refusedBy(name)
  const [address = ''] = z.parse(addresses, await provider.request({ method: 'eth_requestAccounts' }).catch(refused))
  const chainId = `0x${BigInt(network.slice('eip155:'.length)).toString(16)}`
  await provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId }] }).catch((cause: unknown) => {
    throw walletErrors('wallet/wrong-network', { wallet: name, network: formatNetwork(network), cause })
  })
  const signer: EvmSigner = {
    address,
    async signTypedData(typedData) {
      const plain = JSON.stringify(typedData, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
      return z.parse(text, await provider.request({ method: 'eth_signTypedData_v4', params: [address, plain] }).catch(refused))
    },
  }
  return { name, signer, node: { rpcUrl: 'https://wallet.invalid', fetch: nodeOf(provider) } }
}

/** A wallet of this page's own, filled with test money. Errors: `wallet/no-test-money`. */
export async function openTestWallet(faucet: string, network: string): Promise<PayingWallet> {
  const signer = privateKeySigner(keptKey('test wallet'))
  const { ok, status } = await fetch(`${faucet}?${new URLSearchParams({ network, address: signer.address })}`, { method: 'POST' })
  if (!ok) throw walletErrors('wallet/no-test-money', { status })
  return { name: 'the test wallet', signer }
}

/**
 * A key that this browser keeps for this site. One that signs vouchers can pay the seller from what was deposited for him, and nobody else;
 * were it lost, what is left there could be taken out on chain alone.
 */
export function keptKey(name: string): string {
  const item = `flow402x key: ${name}`
  const kept = localStorage.getItem(item)
  if (kept !== null) return kept
  const bytes = crypto.getRandomValues(new Uint8Array(32))
  const made = `0x${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`
  localStorage.setItem(item, made)
  return made
}

const question = z.object({ id: z.unknown(), method: z.string(), params: z.array(z.unknown()) })
const questions = z.union([z.array(question), question])

/** Answers in a node's place, by asking the wallet. */
function nodeOf(provider: Provider): typeof fetch {
  return async (_, init) => {
    const asked = z.parse(questions, JSON.parse(String(init?.body)))
    const answer = async ({ id, method, params }: z.infer<typeof question>) => {
      const known = await provider.request({ method, params }).then(
        (result) => ({ result }),
        (cause: unknown) => ({ error: { code: -32000, message: reasonOf(cause) } }),
      )
      return { jsonrpc: '2.0', id, ...known }
    }
    return Response.json(Array.isArray(asked) ? await Promise.all(asked.map(answer)) : await answer(asked))
  }
}
