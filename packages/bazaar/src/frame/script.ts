/**
 * What scripts add where they run: a theme that is remembered, buttons that copy, results that follow what is typed, and how long ago
 * something was. The pages work without it. It runs before the first paint, for the theme; the rest waits for the document.
 */
export const script = /* js */ `'use strict'
const root = document.documentElement
const dark = matchMedia('(prefers-color-scheme: dark)')

function remembered() {
  try { return localStorage.getItem('theme') } catch { return null }
}
function show(theme) {
  if (theme === 'dark' || theme === 'light') root.dataset.theme = theme
  else delete root.dataset.theme
}
show(remembered())

addEventListener('DOMContentLoaded', () => {
  startTheme()
  startSearch()
  enrich(document)
})

function startTheme() {
  const button = document.querySelector('[data-theme-toggle]')
  const isDark = () => (root.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark'
  const tell = () => button.setAttribute('aria-pressed', String(isDark()))
  button.hidden = false
  button.addEventListener('click', () => {
    const theme = isDark() ? 'light' : 'dark'
    show(theme)
    try { localStorage.setItem('theme', theme) } catch {}
    tell()
  })
  dark.addEventListener('change', tell)
  addEventListener('storage', ({ key, newValue }) => { if (key === 'theme') { show(newValue); tell() } })
  tell()
}

function enrich(part) {
  for (const code of part.querySelectorAll('[data-copy]')) addCopy(code)
  for (const time of part.querySelectorAll('time')) {
    time.title = time.textContent
    time.textContent = ago(new Date(time.dateTime))
  }
}

const lengths = [['year', 31536000], ['month', 2592000], ['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
function ago(date) {
  const seconds = Math.round((date - Date.now()) / 1000)
  const [unit, length] = lengths.find(([, length]) => Math.abs(seconds) >= length) ?? lengths.at(-1)
  return relative.format(Math.trunc(seconds / length), unit)
}

function addCopy(code) {
  const button = document.createElement('button')
  button.type = 'button'
  button.className = 'copy'
  button.textContent = 'Copy'
  const title = code.closest('.snippet')?.querySelector('h3')
  if (title) button.setAttribute('aria-label', 'Copy: ' + title.textContent)
  button.addEventListener('click', async () => {
    const done = await navigator.clipboard?.writeText(code.textContent).then(() => true, () => false)
    if (!done) getSelection().selectAllChildren(code)
    button.textContent = done ? 'Copied' : 'Selected'
    document.querySelector('[data-told]').textContent = done ? 'Copied' : 'Selected; copy it with your keyboard'
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  })
  const block = code.closest('pre') ?? code
  block.after(button)
}

function startSearch() {
  const form = document.querySelector('#search')
  if (!form) return
  let running
  let waiting
  async function refresh() {
    clearTimeout(waiting)
    if (!form.checkValidity()) return
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ''))
    const address = asked.size === 0 ? '/' : '/?' + asked
    running?.abort()
    running = new AbortController()
    const { signal } = running
    const results = document.querySelector('#results')
    results.setAttribute('aria-busy', 'true')
    try {
      const answer = await fetch(address, { signal })
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
      if (signal.aborted) return
      for (const id of ['count', 'on', 'results']) document.getElementById(id).replaceChildren(...page.getElementById(id).childNodes)
      document.title = page.title
      history.replaceState(null, '', address)
      enrich(results)
      results.removeAttribute('aria-busy')
    } catch {
      if (!signal.aborted) location.assign(address)
    }
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    await refresh()
    document.querySelector('#count').scrollIntoView({ block: 'nearest' })
  })
  for (const control of form.elements) {
    if (control.type === 'search') control.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(refresh, 250) })
    else if (control.name) control.addEventListener('change', refresh)
  }
}
`
