/** Where a page keeps what must not be forgotten. */
export type BrowserStoreOptions = {
  /** The database; one of its own for each kind of store unless told. */
  readonly name?: string
  readonly indexedDB?: IDBFactory
}

/** One table of a page's own (IndexedDB): all pages of its origin share it, each change is one transaction, and what was written is on disk. */
export interface BrowserTable<Row> {
  /** Looks at a row and writes what comes of it, both in one transaction; gives what stands once it is on disk. */
  change(key: IDBValidKey, step: (found: Row | undefined) => Row | undefined): Promise<Row | undefined>
  all(): Promise<readonly Row[]>
  /** Forgets a row if it still is one of these, and says whether it did. */
  drop(key: IDBValidKey, which: (row: Row) => boolean): Promise<boolean>
}

type Stored = Readonly<Record<string, unknown>>

/** How rows are written and read. */
export type TableShape<Row> = {
  readonly database: Required<Pick<BrowserStoreOptions, 'name'>> & Pick<BrowserStoreOptions, 'indexedDB'>
  readonly table: string
  readonly keyPath: string | string[]
  readonly read: (stored: Stored) => Row
  readonly write: (row: Row) => unknown
}

/** Opens a table when it is first asked. Its calls reject with what the browser says where it keeps nothing, as in some private windows. */
export function browserTable<Row>({ database, table, keyPath, read, write }: TableShape<Row>): BrowserTable<Row> {
  const { name, indexedDB = globalThis.indexedDB } = database
  let opening: Promise<IDBDatabase> | undefined

  function opened(): Promise<IDBDatabase> {
    opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const asked = indexedDB.open(name, 1)
      asked.onupgradeneeded = () => asked.result.createObjectStore(table, { keyPath })
      asked.onerror = () => reject(asked.error)
      asked.onsuccess = () => resolve(asked.result)
    })
    // The next call tries again.
    opening.catch(() => {
      opening = undefined
    })
    return opening
  }

  /** One transaction: `ask` makes its first request, whose answer `then` turns into what is given once all is on disk. */
  async function transact<Asked, Result>(
    ask: (rows: IDBObjectStore) => IDBRequest<Asked>,
    then: (answer: Asked, rows: IDBObjectStore) => Result,
  ): Promise<Result> {
    const transaction = (await opened()).transaction(table, 'readwrite', { durability: 'strict' })
    const rows = transaction.objectStore(table)
    const asked = ask(rows)
    return await new Promise((resolve, reject) => {
      let give = () => {}
      asked.onsuccess = () => {
        try {
          const result = then(asked.result, rows)
          give = () => resolve(result)
        } catch (error) {
          transaction.abort()
          reject(error)
        }
      }
      transaction.onabort = () => reject(transaction.error)
      transaction.oncomplete = () => give()
    })
  }

  return {
    change: (key, step) =>
      transact(
        (rows) => rows.get(key),
        (stored: Stored | undefined, rows) => {
          const found = stored === undefined ? undefined : read(stored)
          const next = step(found)
          if (next !== undefined) rows.put(write(next))
          return next ?? found
        },
      ),
    all: () =>
      transact(
        (rows) => rows.getAll(),
        (stored: Stored[]) => stored.map(read),
      ),
    drop: (key, which) =>
      transact(
        (rows) => rows.get(key),
        (stored: Stored | undefined, rows) => {
          const isDropped = stored !== undefined && which(read(stored))
          if (isDropped) rows.delete(key)
          return isDropped
        },
      ),
  }
}
