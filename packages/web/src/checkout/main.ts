import type { ClientEvent } from '@flow402x/client'
import { formatNetwork, isX402Error, type LedgerEntry } from '@flow402x/core'
import { browserLedger } from '@flow402x/store/browser'
import { element, findParts, found, lock, wordsOf } from '../screen/parts.ts'
import { offerWallet, offerWallets, showWallets } from '../screen/wallet-buttons.ts'
import { findSolanaWallets } from '../wallet/solana.ts'
import { showGoods } from './goods.ts'
import { evmPayer, type Payer, solanaPayer } from './payer.ts'
import { type Answer, amountOf, openPurchase, type ShownOffer, type Standing } from './purchase.ts'
import { refusalWords, untilWords } from './words.ts'

const parts = findParts()
let payer: Payer | undefined
let isBusy = false

const purchase = openPurchase({ url: location.href.split('#')[0] ?? '', ledger: browserLedger(), locks: navigator.locks, onEvent: tell })

/** Tells what goes on while it is paid. */
function tell(event: ClientEvent): void {
  if (event.type === 'signing') parts.say(`Confirm the payment of ${event.terms.price} in ${payer?.name ?? 'your wallet'}.`)
  if (event.type === 'signed') parts.say('Paying…')
  if (event.type !== 'pending') return
  const { transaction = '' } = event
  parts.say(
    `The seller has your payment and waits for the network${transaction === '' ? '' : ` (transaction ${transaction})`}. Nothing more is signed.`,
  )
}

/** What was chosen, as it was shown. */
function chosen(): ShownOffer {
  const { scheme = '', network = '', asset = '', amount = '', payee = '' } = found('input[name="way"]:checked', HTMLInputElement).dataset
  return { scheme, network, asset, amount, payTo: payee }
}

/** Does one thing at a time, and shows how the purchase stands after it. */
async function act(what: string, step: () => Promise<Answer>): Promise<void> {
  if (isBusy) return
  isBusy = true
  lock(true)
  parts.say(what)
  try {
    await finish(await step())
  } catch (error) {
    await show()
    parts.say(wordsFor(error), { isWrong: true })
  } finally {
    isBusy = false
    lock(false)
  }
}

async function finish({ response, receipt, refusal }: Answer): Promise<void> {
  const state = await show()
  if (refusal !== undefined && state === 'bought')
    return parts.say('You have bought this, and the seller keeps no copy to show again. Nothing was paid now.')
  if (refusal !== undefined) return parts.say(await refusalWords(refusal, response), { isWrong: true })
  if (response.status >= 400)
    return parts.say('It is paid, and the seller did not deliver it. Ask again: that costs nothing more.', { isWrong: true })
  parts.only(['empty', 'goods'], 'goods')
  await showGoods(response, parts.part('goods'))
  parts.say(receipt === undefined ? 'Here it is. The seller took no money for it.' : 'Paid. Here is what you bought.')
  parts.part('goods').focus()
}

/** The panel as the purchase stands. */
async function show(): Promise<Standing['state']> {
  const standing = await purchase.standing()
  const { state } = standing
  parts.only(['start', 'over'], 'entry' in standing ? 'over' : 'start')
  if (!('entry' in standing)) {
    parts.say(state === 'elsewhere' ? 'This is being paid in another tab.' : '')
    return state
  }
  parts.part('heading').textContent = state === 'bought' ? 'Receipt' : 'Not finished'
  parts.receipt(rowsOf(standing.entry, state === 'bought'))
  parts.button('again').hidden = false
  parts.button('again').textContent = state === 'bought' ? 'Show again' : 'Ask again'
  parts.button('anew').hidden = state === 'signed'
  parts.say(state === 'bought' ? '' : untilWords(standing.entry.deadAfter))
  return state
}

function rowsOf({ signed, receipt }: LedgerEntry, isPaid: boolean): [string, string][] {
  if (signed === undefined) return []
  const { accepted } = signed.payment
  const { transaction = '' } = receipt ?? {}
  return [
    [isPaid ? 'Paid' : 'Signed', amountOf(accepted)],
    ['To', accepted.payTo],
    ['From', receipt?.payer ?? signed.key.payer],
    ['Network', formatNetwork(accepted.network)],
    ...(transaction === '' ? [] : [['Transaction', transaction] satisfies [string, string]]),
  ]
}

function wordsFor(error: unknown): string {
  if (isX402Error(error, 'client/settle-pending') || isX402Error(error, 'client/settle-unknown'))
    return 'The seller has not answered yet. Whether money moved is not known, so nothing more is signed: ask again, which sends the same payment.'
  if (isX402Error(error, 'client/delivery-failed'))
    return 'It is paid, and what you bought did not arrive. Ask again: that costs nothing more.'
  if (isX402Error(error, 'client/paid-redirect-refused'))
    return 'The seller answered your payment with another address, which a page cannot follow. Whether money moved is not known, so nothing more is signed.'
  // What wallets and chains say beside their own errors.
  return isX402Error(error, 'client/sign-failed') ? `${wordsOf(error.cause)} Nothing was sent and no money moved.` : wordsOf(error)
}

async function wire(): Promise<void> {
  parts.button('again').addEventListener('click', () => void act('Asking for it again…', () => purchase.again()))
  parts.button('anew').addEventListener('click', () => void anew())
  if (document.querySelector('input[name="way"]') === null) {
    parts.say('No wallet of a browser can pay this. Any client that pays what it offers can.')
    return
  }
  const pay = (open: (network: string) => Promise<Payer>) =>
    void act('Opening your wallet…', async () => {
      const offer = chosen()
      payer = await open(offer.network)
      return await purchase.pay(payer, offer)
    })
  offerWallets(parts, { network: () => chosen().network, chosen: (open) => pay(async (network) => evmPayer(await open(), network)) })
  const { solana: script = '' } = document.body.dataset
  findSolanaWallets((found) =>
    offerWallet(parts, { name: found.name, family: 'solana', press: () => pay((network) => solanaPayer(found, { network, script })) }),
  )
  for (const way of document.querySelectorAll('input[name="way"]')) way.addEventListener('change', () => showWallets(parts))
  // What was bought here is shown again, and paid no more.
  if ((await show()) === 'bought') await act('Asking for what you bought…', () => purchase.again())
}

async function anew(): Promise<void> {
  await purchase.anew()
  parts.part('goods').replaceChildren(element('p'))
  parts.only(['empty', 'goods'], 'empty')
  await show()
}

wire().catch((error: unknown) => {
  // Without books a reload would pay twice: then nothing is paid.
  parts.only(['start', 'over'], '')
  parts.say(`This browser keeps nothing for this site (${wordsOf(error)}), so paying here would not be safe. Nothing was signed.`, {
    isWrong: true,
  })
})
