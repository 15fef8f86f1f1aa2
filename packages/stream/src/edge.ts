export { createEdgeGate, type EdgeGate, type EdgeGateOptions, edgeCookie, passPath } from './access/edge-gate.ts'
