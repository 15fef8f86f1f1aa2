import type { Row } from '../report/figure.ts'
import { challenge } from './requests/challenge.ts'
import { endToEnd } from './requests/end-to-end.ts'
import { paidFetch } from './requests/paid-fetch.ts'
import { codec, sign } from './requests/payload.ts'
import { stream } from './requests/stream.ts'
import { voucher } from './requests/voucher.ts'
import { settle } from './settle.ts'
import { size } from './size.ts'
import { start } from './start.ts'
import { bazaar } from './stores/bazaar.ts'
import { store } from './stores/store.ts'
import { verifyEvm } from './verify-evm.ts'
import { verifySvm } from './verify-svm.ts'

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
