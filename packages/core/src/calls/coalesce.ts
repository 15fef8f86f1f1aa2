/** How questions share requests. */
export type CoalesceOptions = {
  /** The most questions in one request. */
  readonly most: number
  /** The most requests under way. */
  readonly atOnce: number
  /** So many milliseconds questions that do not fill a request wait for one under way to end; none unless told. */
  readonly patience?: number
  /** So many milliseconds a question waits for as many as shared the last request, if that was more than one; none unless told. */
  readonly company?: number
}

/**
 * Lets questions that come together share one request: those of one moment, and those that came while `atOnce` requests
 * were under way, or one and it was waited for. `ask` answers in the order of its items; where it throws, every question of
 * that request fails so.
 */
export function coalesce<Item, Answer>(
  ask: (items: readonly Item[]) => Promise<readonly Answer[]>,
  { most, atOnce, patience = 0, company = 0 }: CoalesceOptions,
): (item: Item) => Promise<Answer> {
  type Waiting = { readonly item: Item; readonly answer: (given: Answer) => void; readonly fail: (error: unknown) => void }
  const waiting: Waiting[] = []
  let running = 0
  let sharers = 1
  let impatient: ReturnType<typeof setTimeout> | undefined

  async function run(group: readonly Waiting[]): Promise<void> {
    running += 1
    sharers = group.length
    try {
      const answers = await ask(group.map(({ item }) => item))
      group.forEach((one, index) => {
        // `ask` gives one answer for each item.
        one.answer(answers[index] as Answer)
      })
    } catch (error) {
      for (const { fail } of group) fail(error)
    } finally {
      running -= 1
      next()
    }
  }

  function next(): void {
    while (running < atOnce && waiting.length > 0 && (running === 0 || patience === 0 || waiting.length >= most)) go()
    if (running < atOnce && waiting.length > 0) impatient ??= setTimeout(go, patience)
  }

  /** Who comes while nothing is under way need not be the only one. */
  function arrive(): void {
    if (running === 0 && company > 0 && waiting.length < sharers) impatient ??= setTimeout(go, company)
    else next()
  }

  function go(): void {
    clearTimeout(impatient)
    impatient = undefined
    if (waiting.length > 0 && running < atOnce) void run(waiting.splice(0, most))
  }

  return (item) =>
    new Promise((answer, fail) => {
      waiting.push({ item, answer, fail })
      if (waiting.length === 1 || waiting.length === sharers || waiting.length === most) queueMicrotask(arrive)
    })
}
