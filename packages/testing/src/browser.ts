export { faults, faultsOf } from './browser/faults.ts'
export { inChromium, noChromium, openVisitor, type Visitor, type VisitorOptions } from './browser/visitor.ts'
