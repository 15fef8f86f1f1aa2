import { findParts, found, type Parts } from '../screen/parts.ts'

/** What stands where content comes. */
type Stage = 'empty' | 'video' | 'text' | 'file'

/** What is on the right: how to start, what goes on, or what came of it. */
type Panel = 'start' | 'run' | 'over'

/** The parts of a stream's page. */
export interface Screen extends Parts {
  readonly video: HTMLVideoElement
  readonly text: HTMLElement
  readonly file: HTMLElement
  field(id: string): HTMLInputElement
  show(stage: Stage): void
  open(panel: Panel): void
}

/** The page as its document has it. */
export function findScreen(): Screen {
  const parts = findParts()
  return {
    ...parts,
    video: found('[data-part="video"]', HTMLVideoElement),
    text: parts.part('text'),
    file: parts.part('file'),
    field: (id) => found(`#${id}`, HTMLInputElement),
    show: (stage) => parts.only(['empty', 'video', 'text', 'file'], stage),
    open: (panel) => parts.only(['start', 'run', 'over'], panel),
  }
}
