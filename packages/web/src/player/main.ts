import { findAsset, formatNetwork } from '@flow402x/core'
import { browserChannels } from '@flow402x/store/browser'
import { counted, dollars, priceOf, typed } from '../screen/money.ts'
import { lock, wordsOf } from '../screen/parts.ts'
import { offerWallets } from '../screen/wallet-buttons.ts'
import type { PayingWallet } from '../wallet/evm.ts'
import { type Ended, type Flow, openFlow } from './flow.ts'
import { openPurse, type Purse } from './purse.ts'
import { findScreen } from './screen.ts'

const { unit = 'unit', network = '', asset: token = '' } = document.body.dataset
const asset = findAsset(network, token)
const screen = findScreen()
const channels = browserChannels()

let flow: Flow | undefined
let purse: Purse | undefined
let wallet: PayingWallet | undefined
let ticking: ReturnType<typeof setInterval> | undefined

/** What may lie in a channel now: what of the budget is not spent. */
function cap(): string {
  if (asset === undefined) return '$0.01'
  const { budget, paid } = flow?.standing() ?? { budget: typed(screen.field('budget').value, asset), paid: 0n }
  return priceOf(budget > paid ? budget - paid : 1n, asset)
}

function render(): void {
  if (asset === undefined || flow === undefined) return
  const { state, paid, signed, units, budget } = flow.standing()
  screen.part('paid').textContent = dollars(paid, { asset, digits: 4 })
  screen.part('units').textContent = counted(units, unit)
  const used = screen.part('used')
  if (used instanceof HTMLProgressElement) used.value = budget === 0n ? 0 : Number((paid * 1000n) / budget) / 1000
  const ahead = signed > paid ? signed - paid : 0n
  const beyond = state === 'over' ? '' : ` · ${dollars(ahead, { asset, digits: 4 })} signed ahead`
  screen.part('ahead').textContent = `Budget ${dollars(budget, { asset })}${beyond}`
  screen.button('pause').textContent = { flowing: 'Pause', paused: 'Go on', spent: 'Use the rest', over: 'Pause' }[state]
  // What there is to do next stands out.
  screen.button('pause').classList.toggle('quiet', state === 'spent')
  screen.button('allow').classList.toggle('quiet', state !== 'spent')
  document.body.dataset.state = state
}

/** Tells what a change means, once. */
function tell(): void {
  render()
  const state = flow?.standing().state
  if (state === 'flowing') screen.say('')
  if (state === 'paused') screen.say('Paused. Nothing is paid, and nothing comes.')
  if (state === 'spent')
    screen.say('All of the budget is signed for, so the stream stands still. Top up, use what is left of it, or finish and keep that.')
}

async function start(opening: () => Promise<PayingWallet>): Promise<void> {
  if (asset === undefined) return
  lock(true)
  screen.say('Opening…')
  try {
    const budget = typed(screen.field('budget').value, asset)
    wallet = await opening()
    purse = openPurse(wallet, { network, channels, cap })
    flow = await openFlow({ purse, url: addressOf(), asset, screen, budget, onChange: tell })
  } catch (error) {
    screen.say(wordsOf(error), { isWrong: true })
    return
  } finally {
    lock(false)
  }
  screen.open('run')
  tell()
  screen.button('pause').focus()
  ticking = setInterval(render, 100)
  await over(await flow.ended)
}

async function over({ trouble }: Ended): Promise<void> {
  clearInterval(ticking)
  if (asset === undefined || flow === undefined) return
  render()
  const { paid, units, signed } = flow.standing()
  flow = undefined
  screen.receipt([
    ['Received', `${counted(units, unit)} ${unit}s`],
    ['Paid', `${priceOf(paid, asset)} in ${asset.symbol}`],
    ['Signed for, at most', priceOf(signed, asset)],
    ['Paid with', wallet?.name ?? ''],
    ['Network', formatNetwork(network)],
  ])
  screen.open('over')
  screen.say(trouble === undefined ? 'The stream is over.' : wordsOf(trouble), { isWrong: trouble !== undefined })
  await showRest()
}

/** What lies in the channel and was not spent is its payer's: here is how to have it back. */
async function showRest(): Promise<void> {
  const rest = (await purse?.locked()) ?? 0n
  const button = screen.button('refund')
  button.hidden = rest === 0n
  if (asset !== undefined) button.textContent = `Get ${priceOf(rest, asset)} back`
}

async function refund(): Promise<void> {
  const button = screen.button('refund')
  button.disabled = true
  screen.say('Asking for the rest…')
  try {
    const { transaction } = (await purse?.refund(addressOf())) ?? { transaction: '' }
    screen.say(`The rest is back in your wallet: transaction ${transaction.slice(0, 18)}…`)
  } catch (error) {
    screen.say(wordsOf(error), { isWrong: true })
  } finally {
    button.disabled = false
  }
  await showRest()
}

/** The stream's own address, with what was asked. */
function addressOf(): string {
  const address = new URL(location.href)
  for (const field of document.querySelectorAll<HTMLInputElement>('[data-query]'))
    address.searchParams.set(field.dataset.query ?? '', field.value)
  address.hash = ''
  return address.href
}

/** What is pressed, and what wallets there are. */
function wire(): void {
  if (asset === undefined) {
    screen.say('No wallet of a browser can pay this stream. Any client that pays what it offers can.')
    return
  }
  screen.open('start')
  offerWallets(screen, { network: () => network, chosen: (opening) => void start(opening) })
  screen.part('start').addEventListener('submit', (event) => {
    event.preventDefault()
    screen.part('wallets').querySelector('button')?.click()
  })
  screen.part('more').addEventListener('submit', (event) => {
    event.preventDefault()
    void topUp()
  })
  screen.button('pause').addEventListener('click', () => void (flow?.standing().state === 'flowing' ? flow.pause() : flow?.resume()))
  screen.button('finish').addEventListener('click', () => void flow?.finish())
  screen.button('refund').addEventListener('click', () => void refund())
  screen.button('again').addEventListener('click', () => {
    screen.say('')
    screen.open('start')
    screen.field('budget').focus()
  })
  // The film's own buttons stop the money as well. Events come late: what counts is how the film stands by now, or one of this page's own
  // doing would undo what was pressed since.
  screen.video.addEventListener('pause', () => void (screen.video.paused && !screen.video.ended && flow?.pause()))
  screen.video.addEventListener('play', () => void (!screen.video.paused && flow?.standing().state === 'paused' && flow.resume()))
  addEventListener('pagehide', () => void flow?.finish())
}

async function topUp(): Promise<void> {
  if (asset === undefined || flow === undefined) return
  try {
    await flow.topUp(typed(screen.field('more').value, asset))
  } catch (error) {
    screen.say(wordsOf(error), { isWrong: true })
  }
}

wire()
