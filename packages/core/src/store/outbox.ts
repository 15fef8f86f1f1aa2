/**
 * Something that somebody must be told, at least once. `id` (visible ASCII) is what the receiver knows it by when it comes again;
 * `body` is JSON and sent as it is. `createdAt` in Unix milliseconds.
 */
export type NewMessage = { readonly id: string; readonly topic: string; readonly body: string; readonly createdAt: number }

/** A message on its way: `attempts` counts who took it, `nextAttemptAt` (Unix ms) is when it is due again unless it is done by then. */
export type Message = NewMessage & { readonly attempts: number; readonly nextAttemptAt: number }

/** What somebody must be told of a change. */
export type Telling = { readonly tell?: readonly NewMessage[] }

/**
 * What is still to be told, so that nothing that happened is known to one process alone (H43). Every operation is one commit; any
 * number of processes deliver from it, and each message is with one of them at a time.
 */
export interface OutboxStore {
  /** Takes messages in, due at once; one whose id is known changes nothing, also after it was told. */
  put(messages: readonly NewMessage[]): Promise<void>
  /** Takes at most `most` messages that are due at `now`, the longest due first: they are due again at `until`, for whoever comes then. */
  take(request: { readonly now: number; readonly until: number; readonly most: number }): Promise<readonly Message[]>
  /** It was told, whoever told it. Repeating it changes nothing. */
  done(message: Message, now: number): Promise<void>
  /** It could not be told, and is due again at `at`; `false` where it was told meanwhile, or taken by another (its `attempts` have grown). */
  later(message: Message, at: number): Promise<boolean>
  /** How many are still to be told, and since when the oldest waits (Unix ms). */
  waiting(): Promise<{ readonly count: number; readonly since?: number }>
  /** Forgets what was told long ago at `now`, and says how many; what was not told is kept. */
  purge(now: number): Promise<number>
}
