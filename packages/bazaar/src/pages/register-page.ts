import { bazaarRoutes, type RegisterRequest } from '@flow402x/core/bazaar'
import { type Html, html } from '@flow402x/core/page'
import type { Page } from '../frame/frame.ts'

const { request: registration } = bazaarRoutes.register
const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']

/** What somebody wrote into the form, field by field. */
export type Registration = Readonly<Record<'url' | 'method' | 'name' | 'description' | 'category' | 'tags', string>>

/** Reads the fields of the form. */
export function readRegistration(fields: URLSearchParams): Registration {
  const text = (name: keyof Registration) => (fields.get(name) ?? '').trim()
  return {
    url: text('url'),
    method: text('method'),
    name: text('name'),
    description: text('description'),
    category: text('category').toLowerCase(),
    tags: text('tags'),
  }
}

/** The request that a form comes to, or which fields cannot be taken. */
export function requestOf(form: Registration): { readonly request: RegisterRequest } | { readonly wrong: readonly (keyof Registration)[] } {
  const { tags, ...texts } = form
  const given = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ''))
  const list = tags.split(',').flatMap((tag) => (tag.trim() === '' ? [] : [tag.trim()]))
  const read = registration.safeParse({ ...given, ...(list.length === 0 ? {} : { tags: list }) })
  const wrong = read.success ? [] : read.error.issues.map(({ path }) => String(path[0]))
  if (!URL.canParse(form.url) && !wrong.includes('url')) wrong.push('url')
  if (read.success && wrong.length === 0) return { request: read.data }
  return { wrong: fieldNames.filter((name) => wrong.includes(name)) }
}

const hints: Readonly<Record<keyof Registration, string>> = {
  url: 'What a buyer calls. It must answer with a 402 that names its price.',
  method: 'Unless chosen it is found out: what the 402 says, else GET or POST.',
  name: 'Used where the 402 has no service name. At most 200 characters.',
  description: 'Used where the 402 has none. At most 2,000 characters.',
  category: 'Words with dots between them, such as ai.text-generation.',
  tags: 'Up to 20, with commas between them.',
}

// The hints have exactly the names of the fields, in their order.
const fieldNames = Object.keys(hints) as (keyof Registration)[]

/** The page that takes a resource in. */
export function registerPage(form: Registration, { wrong = [] }: { readonly wrong?: readonly (keyof Registration)[] } = {}): Page {
  return {
    title: 'List a resource',
    current: 'register',
    status: wrong.length > 0 ? 422 : 200,
    indexed: wrong.length === 0 && form.url === '',
    body: html`<div class="split">
<section class="body">
<h1>List a resource</h1>
<p class="lead">Give the address of something that answers with a 402. It is called once now, and again from time to time; price, network and payee are read from its own answer.</p>
${wrong.length > 0 && html`<div class="note" role="alert"><p>${wrong.length === 1 ? 'One field needs' : 'Some fields need'} another look:</p><ul>${wrong.map((name) => html`<li><a href="#${name}">${labels[name]}</a></li>`)}</ul></div>`}
<form class="form" method="post" action="/register" novalidate>
${field('url', { form, wrong, input: html` type="url" inputmode="url" required placeholder="https://api.example/story" maxlength="2048"` })}
${methodField(form)}
${field('name', { form, wrong, input: html` maxlength="200"` })}
${field('description', { form, wrong, input: html` maxlength="2000"` })}
${field('category', { form, wrong, input: html` placeholder="ai.text-generation" autocapitalize="none" spellcheck="false"` })}
${field('tags', { form, wrong, input: html` placeholder="stories, english"` })}
<p class="actions"><button type="submit">Look at it and list it</button></p>
</form>
</section>
<aside aria-label="How it works">
<section class="panel"><h2>What happens</h2>
<ol class="steps"><li>The address is called without paying. It must be public and https.</li><li>Its 402 is judged. If it cannot be listed, you are told why.</li><li>It is looked at again from time to time: what fails sinks, what is dead leaves, and the reason stays to be read.</li></ol></section>
<section class="panel"><h2>Get the verified mark</h2>
<p>Serve <code>/.well-known/x402</code> on the same origin with the address among its resources, or set a TXT record at <code>_x402.</code> before the host that says <code>payTo=</code> and one of the addresses that your 402 names.</p></section>
<section class="panel" id="api"><h2>For programs</h2>
<pre tabindex="0" role="region" aria-label="The same as a request"><code data-copy>POST /discovery/register
content-type: application/json

{"url":"https://api.example/story"}</code></pre>
<p>The answer says the state and the reason, as <code>GET /listing?url=</code> does later.</p></section>
</aside>
</div>`,
  }
}

const labels: Readonly<Record<keyof Registration, string>> = {
  url: 'URL',
  method: 'Method',
  name: 'Name',
  description: 'Description',
  category: 'Category',
  tags: 'Tags',
}

type FieldOptions = { readonly form: Registration; readonly wrong: readonly (keyof Registration)[]; readonly input: Html }

function field(name: keyof Registration, { form, wrong, input }: FieldOptions): Html {
  const bad = wrong.includes(name) && html` aria-invalid="true"`
  return html`<p class="field"><label for="${name}">${labels[name]}${name === 'url' ? '' : html` <span class="optional">optional</span>`}</label>
<input id="${name}" name="${name}" value="${form[name]}" aria-describedby="${name}-hint"${input}${bad}>
<span class="hint" id="${name}-hint">${hints[name]}</span></p>`
}

function methodField({ method }: Registration): Html {
  return html`<p class="field"><label for="method">Method <span class="optional">optional</span></label>
<select id="method" name="method" aria-describedby="method-hint"><option value="">Find it out</option>${methods.map((one) => html`<option${one === method && html` selected`}>${one}</option>`)}</select>
<span class="hint" id="method-hint">${hints.method}</span></p>`
}
