import { x402Facilitator } from '@x402/core/facilitator'
import { toFacilitatorEvmSigner } from '@x402/evm'
import { registerExactEvmScheme } from '@x402/evm/exact/facilitator'
import express from 'express'
import { createWalletClient, http, publicActions, type VerifyTypedDataParameters } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { baseSepolia } from 'viem/chains'
import { announce, argument } from './announce.ts'

const account = privateKeyToAccount(argument.key)
const wallet = createWalletClient({ account, chain: baseSepolia, transport: http(argument.rpcUrl) }).extend(publicActions)
const signer = toFacilitatorEvmSigner({
  address: account.address,
  readContract: (call) => wallet.readContract({ ...call, args: call.args ?? [] }),
  // The official package leaves open what viem spells out; it hands over complete typed data.
  verifyTypedData: (call) => wallet.verifyTypedData(call as VerifyTypedDataParameters),
  writeContract: (call) => wallet.writeContract({ ...call, args: call.args ?? [] }),
  sendTransaction: (call) => wallet.sendTransaction(call),
  waitForTransactionReceipt: (call) => wallet.waitForTransactionReceipt(call),
  getCode: (call) => wallet.getCode(call),
})
const facilitator = registerExactEvmScheme(new x402Facilitator(), { signer, networks: 'eip155:84532' })
const app = express().use(express.json())
app.get('/supported', (_, response) => void response.json(facilitator.getSupported()))
app.post('/verify', async ({ body }, response) => {
  response.json(await facilitator.verify(body.paymentPayload, body.paymentRequirements))
})
app.post('/settle', async ({ body }, response) => {
  response.json(await facilitator.settle(body.paymentPayload, body.paymentRequirements))
})
announce(app)
