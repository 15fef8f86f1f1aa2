export { createEdgeGate, type EdgeGate, type EdgeGateOptions, edgeCookie, passPath } from './transports/edge-gate.ts'
