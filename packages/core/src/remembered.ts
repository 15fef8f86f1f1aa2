export { remembered } from './protocol/remembered.ts'
