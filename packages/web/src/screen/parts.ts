import { isX402Error } from '@flow402x/core'
import { screenErrors } from './errors.ts'

/** The parts that every page has and that change. */
export interface Parts {
  /** A part by its name. Errors: `page/no-part`. */
  part(name: string): HTMLElement
  button(name: string): HTMLButtonElement
  /** Shows one of several parts that stand in one place. */
  only(names: readonly string[], shown: string): void
  /** Tells what happened, to people who hear the page as well. */
  say(what: string, options?: { readonly isWrong?: boolean }): void
  /** What came of it, line by line. */
  receipt(rows: readonly (readonly [term: string, value: string])[]): void
}

/** The page as its document has it. */
export function findParts(): Parts {
  const part = (name: string): HTMLElement => found(`[data-part="${name}"]`, HTMLElement)
  return {
    part,
    button: (name) => found(`[data-part="${name}"]`, HTMLButtonElement),
    only(names, shown) {
      for (const name of names) part(name).hidden = name !== shown
    },
    say(what, { isWrong = false } = {}) {
      part('said').textContent = what
      part('said').classList.toggle('wrong', isWrong)
    },
    receipt(rows) {
      part('receipt').replaceChildren(...rows.flatMap(([term, value]) => [element('dt', term), element('dd', value)]))
    },
  }
}

/** What a selector finds. Errors: `page/no-part`. */
export function found<Type extends HTMLElement>(selector: string, is: new () => Type): Type {
  const one = document.querySelector(selector)
  if (!(one instanceof is)) throw screenErrors('page/no-part', { selector })
  return one
}

/** A new element with a text in it. */
export function element<Name extends keyof HTMLElementTagNameMap>(name: Name, text = ''): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  made.textContent = text
  return made
}

/** Nothing can be pressed, or everything again. */
export function lock(isLocked: boolean): void {
  for (const button of document.querySelectorAll('button')) button.disabled = isLocked
}

/** What went wrong, in a sentence. */
export function wordsOf(error: unknown): string {
  if (isX402Error(error)) return error.message
  return error instanceof Error ? error.message : 'Something went wrong, and nothing more is signed.'
}
