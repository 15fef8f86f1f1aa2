import { playerErrors } from './errors.ts'

/** What stands where content comes. */
type Stage = 'empty' | 'video' | 'text' | 'file'

/** What is on the right: how to start, what goes on, or what came of it. */
type Panel = 'start' | 'run' | 'over'

/** The parts of the page that change. */
export interface Screen {
  readonly video: HTMLVideoElement
  readonly text: HTMLElement
  readonly file: HTMLElement
  /** A part by its name. Errors: `page/no-part`. */
  part(name: string): HTMLElement
  button(name: string): HTMLButtonElement
  field(id: string): HTMLInputElement
  show(stage: Stage): void
  open(panel: Panel): void
  /** Tells what happened, to people who hear the page as well. */
  say(what: string, options?: { readonly isWrong?: boolean }): void
}

/** The page as its document has it. */
export function findScreen(): Screen {
  const found = <Type extends HTMLElement>(selector: string, is: new () => Type): Type => {
    const element = document.querySelector(selector)
    if (!(element instanceof is)) throw playerErrors('page/no-part', { selector })
    return element
  }
  const part = (name: string): HTMLElement => found(`[data-part="${name}"]`, HTMLElement)
  const only = (names: readonly string[], shown: string): void => {
    for (const name of names) part(name).hidden = name !== shown
  }
  return {
    video: found('[data-part="video"]', HTMLVideoElement),
    text: part('text'),
    file: part('file'),
    part,
    button: (name) => found(`[data-part="${name}"]`, HTMLButtonElement),
    field: (id) => found(`#${id}`, HTMLInputElement),
    show: (stage) => only(['empty', 'video', 'text', 'file'], stage),
    open: (panel) => only(['start', 'run', 'over'], panel),
    say(what, { isWrong = false } = {}) {
      part('said').textContent = what
      part('said').classList.toggle('wrong', isWrong)
    },
  }
}
