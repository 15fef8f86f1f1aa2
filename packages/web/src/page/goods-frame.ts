import { type File, fileOf } from './serving.ts'

/**
 * Where a page that was bought is shown: a document of no origin (`sandbox` without `allow-same-origin`), which reads nothing of the
 * seller's site and of the wallet, whatever scripts it brings. It takes its content from the page of its own site alone, and the policy
 * that the seller sent with the content holds in it.
 */
export function frameFile(): Promise<File> {
  return fileOf(frame, {
    type: 'text/html',
    extension: 'html',
    headers: {
      'Content-Security-Policy': `sandbox ${allowed.join(' ')}; frame-ancestors 'self'`,
      'X-Frame-Options': 'SAMEORIGIN',
      'Referrer-Policy': 'no-referrer',
    },
  })
}

const allowed = ['allow-scripts', 'allow-forms', 'allow-popups', 'allow-popups-to-escape-sandbox', 'allow-downloads', 'allow-modals']

// What it writes is the document that was bought, with a base for its addresses; parsed first, so that what is added stands in its head.
const frame = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>What you bought</title>
<script>
addEventListener('message', ({ data, source, origin }) => {
  if (source !== parent || origin !== new URL(location.href).origin || typeof data?.html !== 'string') return
  const bought = new DOMParser().parseFromString(data.html, 'text/html')
  const add = (name, attributes) => bought.head.prepend(Object.assign(bought.createElement(name), attributes))
  if (bought.querySelector('base') === null) add('base', { href: data.base, target: '_blank' })
  if (data.policy) add('meta', { httpEquiv: 'Content-Security-Policy', content: data.policy })
  document.open()
  document.write((bought.doctype ? '<!doctype html>' : '') + bought.documentElement.outerHTML)
  document.close()
})
</script>
</html>
`
