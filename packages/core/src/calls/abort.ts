/** Waits for a value that others wait for as well, so that a signal ends the waiting alone; the signal's reason then. */
export async function unlessAborted<Value>(value: Promise<Value>, signal: AbortSignal | undefined): Promise<Value> {
  if (signal === undefined) return value
  let stop = () => {}
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  return Promise.race([value, aborted]).finally(() => signal.removeEventListener('abort', stop))
}
