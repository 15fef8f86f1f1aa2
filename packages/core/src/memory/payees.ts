import type { Payee, PayeeName, PayeeStore } from '../store/payer.ts'

/** Known payees in the memory of one process. */
export function memoryPayees(): PayeeStore {
  const payees = new Map<string, Payee>()
  return {
    async find(name) {
      return payees.get(nameOf(name))
    },
    async pin(name, payee, was) {
      const found = payees.get(nameOf(name))
      if (found !== undefined && (found.payTo !== was?.payTo || found.asset !== was.asset)) return found
      payees.set(nameOf(name), payee)
      return payee
    },
  }
}

function nameOf({ origin, network, scheme }: PayeeName): string {
  return JSON.stringify([origin, network, scheme])
}
