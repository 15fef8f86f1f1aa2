// Edges cut what is silent for about 100 s, some after 60 (streaming.md §11).
const beatEvery = 15_000
const hearts = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

/** Calls `beat` every 15 s until the answer is called: one timer for everything in a process that must not fall silent. */
export function heartbeat(beat: () => void): () => void {
  hearts.add(beat)
  timer ??= started()
  return () => {
    hearts.delete(beat)
    if (hearts.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

function started(): ReturnType<typeof setInterval> {
  const interval = setInterval(() => {
    for (const beat of hearts) beat()
  }, beatEvery)
  if (typeof interval === 'object' && 'unref' in interval) interval.unref()
  return interval
}
