/** Who is told when his time has come. Not a function, since thousands wait at once, and each would have one of his own. */
export interface Bell {
  ring(): void
}

/** A bell and its time; without a bell once it rang or was called off. */
export type Alarm = { readonly time: number; bell: Bell | undefined }

/** One timer for everything that waits in a process: thousands of lanes cost one entry each, and no timer of the runtime. */
export interface Timers {
  /** Rings at `time` on the clock of `now`, or soon after. */
  at(time: number, bell: Bell): Alarm
  /** Calls an alarm off that has not rung. */
  cancel(alarm: Alarm): void
}

// What was called off is left in the heap until it would be half of it.
const fewest = 64

/** Timers on one monotonic clock, in milliseconds. */
export function createTimers(now: () => number): Timers {
  let heap: Alarm[] = []
  let off = 0
  let timer: ReturnType<typeof setTimeout> | undefined
  let wakes = Number.POSITIVE_INFINITY

  const wakeFor = (entry: Alarm | undefined): void => {
    if (entry === undefined || entry.time >= wakes) return
    clearTimeout(timer)
    wakes = entry.time
    timer = setTimeout(ringDue, Math.min(Math.max(entry.time - now(), 0), 2 ** 31 - 1))
    // Runtimes without Node's timers have nothing to keep alive.
    if (typeof timer === 'object' && 'unref' in timer) timer.unref()
  }
  const ringDue = (): void => {
    wakes = Number.POSITIVE_INFINITY
    // A timer may be early by a part of a millisecond.
    const at = now() + 0.5
    for (let [first] = heap; first !== undefined && first.time <= at; [first] = heap) {
      take(heap)
      const { bell } = first
      first.bell = undefined
      if (bell === undefined) off -= 1
      else bell.ring()
    }
    wakeFor(heap[0])
  }
  return {
    at(time, bell) {
      const alarm: Alarm = { time, bell }
      put(heap, alarm)
      wakeFor(alarm)
      return alarm
    },
    cancel(alarm) {
      if (alarm.bell === undefined) return
      alarm.bell = undefined
      off += 1
      if (off < fewest || off < heap.length / 2) return
      heap = heap.filter(({ bell }) => bell !== undefined).sort((a, b) => a.time - b.time)
      off = 0
    },
  }
}

function put(heap: Alarm[], entry: Alarm): void {
  let at = heap.push(entry) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent]
    if (above === undefined || above.time <= entry.time) break
    heap[at] = above
    at = parent
  }
  heap[at] = entry
}

function take(heap: Alarm[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    const [left, right] = [2 * at + 1, 2 * at + 2]
    const [one, other] = [heap[left], heap[right]]
    if (one === undefined) break
    const isRight = other !== undefined && other.time < one.time
    const child = isRight ? other : one
    if (child.time >= last.time) break
    heap[at] = child
    at = isRight ? right : left
  }
  heap[at] = last
}
