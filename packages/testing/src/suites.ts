export { type AnsweringFacilitator, answeringFacilitator, type SettleAnswer } from './suites/answering-facilitator.ts'
export { type Behaviour, type BindingRoute, type BindingStage, type BindingSuite, testBinding } from './suites/binding.ts'
export { testChannels } from './suites/channels/channels.ts'
export {
  type AuthorizationChange,
  exactRequirements,
  type FacilitatorMount,
  type MountedFacilitator,
  signExact,
  testFacilitator,
} from './suites/facilitator.ts'
export { packagesLoadedBy } from './suites/imports.ts'
export { type Mined, mine, whenMined } from './suites/mine.ts'
export { preparePayment, receiptOf, sendPaid, signPayment } from './suites/purchase.ts'
export { type SchemeStage, type SchemeSuite, testScheme } from './suites/scheme.ts'
export { type CatalogueSuite, testCatalogue } from './suites/stores/catalogue.ts'
export { type StoreProcess, type StoreProgram, startStoreProcess } from './suites/stores/processes.ts'
export { type StoreSuite, testStore } from './suites/stores/store.ts'
export { type TokenStage, type TokenSuite, testTokenAdapter } from './suites/token.ts'
export {
  type MadeShop,
  openShop,
  type Shop,
  type ShopAnswer,
  type ShopMaker,
  type ShopParts,
  shopSecret,
  type TransferStage,
  transfer,
} from './suites/transfers/shop.ts'
export { type TransferSuite, testTransfers } from './suites/transfers/transfers.ts'
export { type Answer, type OpenAnswer, open, type Sending, send } from './suites/wire.ts'
