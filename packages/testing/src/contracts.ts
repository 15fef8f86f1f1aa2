export {
  batchSettlement,
  dai,
  eip3009Collector,
  exactPermit2Proxy,
  permit2Collector,
  uptoPermit2Proxy,
  usdt,
} from './contracts/artifacts.ts'
export { contracts } from './contracts/placement.ts'
