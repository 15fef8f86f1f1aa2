/**
 * Lets questions that come together share one request: those of one moment, and those that came while `atOnce` requests
 * were under way. `ask` answers in the order of its items; where it throws, every question of that request fails so.
 */
export function coalesce<Item, Answer>(
  ask: (items: readonly Item[]) => Promise<readonly Answer[]>,
  { most, atOnce }: { readonly most: number; readonly atOnce: number },
): (item: Item) => Promise<Answer> {
  type Waiting = { readonly item: Item; readonly answer: (given: Answer) => void; readonly fail: (error: unknown) => void }
  const waiting: Waiting[] = []
  let running = 0

  async function run(group: readonly Waiting[]): Promise<void> {
    running += 1
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
    while (running < atOnce && waiting.length > 0) void run(waiting.splice(0, most))
  }

  return (item) =>
    new Promise((answer, fail) => {
      waiting.push({ item, answer, fail })
      if (waiting.length === 1) queueMicrotask(next)
    })
}
