import { x402Facilitator } from '@x402/core/facilitator'
import { BatchSettlementEvmScheme as ChannelFacilitator } from '@x402/evm/batch-settlement/facilitator'
import { BatchSettlementEvmScheme as ChannelServer } from '@x402/evm/batch-settlement/server'
import { x402ResourceServer } from '@x402/express'
import { privateKeyToAccount } from 'viem/accounts'
import { type OfficialAccount, officialSigner } from './official-signer.ts'
import { hex, network } from './terms.ts'

/** What sells over channels in the official house, with its facilitator in process. */
export function officialChannelServer({ payTo, ...account }: OfficialAccount & { readonly payTo: string }): x402ResourceServer {
  const facilitator = new x402Facilitator().register(network, new ChannelFacilitator(officialSigner(account)))
  type Client = NonNullable<ConstructorParameters<typeof x402ResourceServer>[0]>
  const answers = {
    verify: facilitator.verify.bind(facilitator),
    settle: facilitator.settle.bind(facilitator),
    getSupported: async () => facilitator.getSupported(),
  }
  // In process it answers what it answers over HTTP; only the declarations differ.
  const client = answers as Client
  const scheme = new ChannelServer(hex(payTo), { receiverAuthorizerSigner: privateKeyToAccount(hex(account.key)) })
  return new x402ResourceServer(client).register(network, scheme)
}
