import { verifies } from '@flow402x/testing/requirements'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Html, html, plain, toText, visibleJson } from './html.ts'

const text = (part: Html) => toText(part)

describe('markup', () => {
  it('keeps what is put in as text, in text and in attributes', () => {
    verifies('A21')
    const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>`
    expect(text(html`<p title="${hostile}">${hostile}</p>`)).toBe(
      `<p title="${escapedHostile}">${escapedHostile}</p>`, // the same in both places: no sign is left that a browser reads as markup
    )
  })

  it('has no sign of markup of any text, wherever it stands', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (stranger) => {
        expect(text(html`${stranger}`)).not.toMatch(/[<>"'`]/)
        expect(text(html`<a title="${stranger}"></a>`)).toMatch(/^<a title="[^<>"'`]*"><\/a>$/)
        expect(text(html`<a href="${stranger}"></a>`)).toMatch(/^<a href="(?:#|\/|\?|https?:)[^<>"'`\s]*"><\/a>$/i)
      }),
    )
  })

  it('writes only markup of its own between the attributes of a tag, and none into them', () => {
    const stranger = 'onclick=alert(1)'
    expect(text(html`<input ${stranger}${html` checked`}>`)).toBe('<input  checked>')
    expect(text(html`<input value=${stranger}>`)).toBe('<input value=>')
    expect(text(html`<a title="${html`<b>`}">`)).toBe('<a title="">')
    expect(text(html`<a title="x" ${stranger}>${stranger}</a>`)).toBe(`<a title="x" >${stranger}</a>`)
  })

  it.each([
    'javascript:alert(1)',
    ' javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'java\tscript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    '//evil.example/x',
    '/\\evil.example',
    'evil.example',
    'https:evil',
    'https://',
    'blob:https://x/y',
  ])('leads nowhere by %s', (address) => {
    expect(text(html`<a href="${address}">`)).toBe('<a href="#">')
    expect(text(html`<form action="${address}">`)).toBe('<form action="#">')
  })

  it.each(['https://api.example/a?b=1#c', 'http://api.example/', '/resource?url=x', '?page=2', '#main', '/'])('leads by %s', (address) => {
    expect(text(html`<a href="${address}">`)).toBe(`<a href="${address}">`)
  })

  it('forms lists, and nothing of what is not there', () => {
    expect(text(html`<ul>${[1, 2].map((one) => html`<li>${one}</li>`)}</ul>${false}${undefined}${null}${0}`)).toBe(
      '<ul><li>1</li><li>2</li></ul>0',
    )
  })
})

const escapedHostile = '&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#60;img src=x onerror=&#39;alert(2)&#39;&#62;'

describe('text of strangers', () => {
  it('shows what would hide, turn or pile up', () => {
    verifies('A21')
    expect(plain('invoice\u202Efdp.exe')).toBe('invoice\uFFFDfdp.exe')
    expect(plain('a\u2066b\u2069\u200Bc\u0000d\u001B[31me\uFEFFf\u2028g\u00ADh')).toBe(
      'a\uFFFDb\uFFFD\uFFFDc\uFFFDd\uFFFD[31me\uFFFDf\uFFFDg\uFFFDh',
    )
    expect(plain(`Z${'\u0301'.repeat(500)}`)).toBe(`Z${'\u0301'.repeat(4)}`)
    expect(plain('lone \uD800 surrogate')).toBe('lone \uFFFD surrogate')
  })

  it('leaves alone what people write', () => {
    const written = 'Žluťoučký 日本語 العربية עברית 👩‍👩‍👧 naïve\n\ttab'
    expect(plain(written)).toBe(written)
  })

  it('is JSON that shows every character, and the same value', () => {
    const value = { a: 'x\u202Ey', b: ['\u2028', '\u{E0041}'], c: '日本' }
    const json = visibleJson(value)
    expect(plain(json)).toBe(json)
    expect(JSON.parse(json)).toEqual(value)
  })
})
