import type { LogStore } from '../store/claims.ts'

/** What has paid, in the memory of one process. */
export function memoryLogs(): LogStore {
  const payers = new Map<string, string>()
  return {
    async consume({ network, transaction, logIndex }, key) {
      const log = JSON.stringify([network, transaction, logIndex])
      const payer = payers.get(log) ?? key
      payers.set(log, payer)
      return payer === key
    },
  }
}
