import { connectWallet, findWallets, openTestWallet, type PayingWallet } from '../wallet/evm.ts'
import { element, type Parts } from './parts.ts'

/** What is done with a wallet once its owner chose it. */
export type Choosing = { readonly network: () => string; readonly chosen: (open: () => Promise<PayingWallet>) => void }

/** A button for each wallet of this browser on EVM chains, as it announces itself, and for the test wallet where a local world has one. */
export function offerWallets(parts: Parts, { network, chosen }: Choosing): void {
  const { testWallet = '' } = document.body.dataset
  const offer = (name: string, open: () => Promise<PayingWallet>) =>
    offerWallet(parts, { name, family: 'eip155', press: () => chosen(open) })
  if (testWallet !== '') offer('the test wallet', () => openTestWallet(testWallet, network()))
  findWallets((found) => offer(found.name, () => connectWallet(found, network())))
}

/** A wallet to be offered, and the networks that it is of. */
export type Offered = { readonly name: string; readonly family: 'eip155' | 'solana'; readonly press: () => void }

/** A button for a wallet. */
export function offerWallet(parts: Parts, { name, family, press }: Offered): void {
  const button = element('button', `Pay with ${name}`)
  button.type = 'button'
  button.dataset.family = family
  button.addEventListener('click', press)
  parts.part('wallets').append(button)
  showWallets(parts)
}

/** Shows the wallets that can pay what is chosen: all, where nothing is to be chosen. */
export function showWallets({ part }: Parts): void {
  const { network = '' } = document.querySelector<HTMLInputElement>('input[name="way"]:checked')?.dataset ?? {}
  const buttons = [...part('wallets').querySelectorAll('button')]
  for (const button of buttons) button.hidden = !network.startsWith(button.dataset.family ?? '') && network !== ''
  const fit = buttons.filter((button) => !button.hidden)
  for (const button of fit) button.className = button === fit[0] ? 'button' : 'button quiet'
  part('none').hidden = fit.length > 0
}
