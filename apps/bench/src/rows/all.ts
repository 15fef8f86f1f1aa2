import type { Row } from '../report/figure.ts'
import { challenge } from './challenge.ts'
import { endToEnd } from './end-to-end.ts'
import { paidFetch } from './paid-fetch.ts'
import { codec, sign } from './payload.ts'
import { settle } from './settle.ts'
import { size } from './size.ts'
import { start } from './start.ts'
import { bazaar } from './stores/bazaar.ts'
import { store } from './stores/store.ts'
import { stream } from './stream.ts'
import { verifyEvm } from './verify-evm.ts'
import { verifySvm } from './verify-svm.ts'
import { voucher } from './voucher.ts'

/** Every row, in the order it is run and printed. */
export const rows: readonly Row[] = [
  challenge,
  codec,
  sign,
  paidFetch,
  verifyEvm,
  verifySvm,
  settle,
  endToEnd,
  voucher,
  stream,
  store,
  bazaar,
  size,
  start,
]
