import { connectWallet, findWallets, openTestWallet, type PayingWallet } from '../wallet/evm.ts'
import { element, type Parts } from './parts.ts'

/** What is done with a wallet once its owner chose it. */
export type Choosing = { readonly network: () => string; readonly chosen: (open: () => Promise<PayingWallet>) => void }

/** A button for each wallet of this browser, as it announces itself, and for the test wallet where a local world has one. */
export function offerWallets({ part }: Parts, { network, chosen }: Choosing): void {
  const { testWallet = '' } = document.body.dataset
  const offer = (label: string, open: () => Promise<PayingWallet>): void => {
    const button = element('button', label)
    button.type = 'button'
    button.className = part('wallets').childElementCount === 0 ? 'button' : 'button quiet'
    button.addEventListener('click', () => chosen(open))
    part('none').hidden = true
    part('wallets').append(button)
  }
  if (testWallet !== '') offer('Pay with the test wallet', () => openTestWallet(testWallet, network()))
  findWallets((found) => offer(`Pay with ${found.name}`, () => connectWallet(found, network())))
}
