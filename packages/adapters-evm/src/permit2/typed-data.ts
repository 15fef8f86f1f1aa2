import { type Hex, keccak, putRight, putUint, toBytes } from '../crypto/bytes.ts'
import { type Permit2Deposit, type Permit2Transfer, type TypedData, typedDigest } from '../crypto/eip712.ts'
import { permit2Address } from './wire.ts'

// keccak256 of "EIP712Domain(string name,uint256 chainId,address verifyingContract)" and of "Permit2": its domain has no version.
const domainType = toBytes('0x8cad95687ba82c2ce50e74f7b754645e5117c3a5bec8151c0726d5857980a866')
const nameHash = toBytes('0x9ac997416e8ff9d2ff6bebeb7149f65cdae5e32e2b90440b566bb3044041d36a')
// keccak256 of "TokenPermissions(address token,uint256 amount)".
const permissionsType = toBytes('0x618358ac3db8dc274f0cd8829da7e234bd48cd73c4a740aede1adec9846d06a1')
// wire.md §20: of the transfer and of its witness, for the exact proxy, for the upto proxy and for deposits into channels.
const exactType = toBytes('0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7')
const exactWitnessType = toBytes('0xd97b3239a7f32295517bd14cb074edfdd188dfe5eb42f802bb26d4fd1eb12c37')
const uptoType = toBytes('0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee')
const uptoWitnessType = toBytes('0xd4171c445a74218b01d4fd8af34ff1106580ea1e36ff837e64484bfaa2253b75')
const depositType = toBytes('0x436a25c01a21a6ed025816c4c9ea3d6132aa879dd7ef16f6188dd3b0aebccc52')
const depositWitnessType = toBytes('0xba0000097e86dabe64178afe31109221193339a6861598f2133fcbdc92c84479')

type Permit2Message = Permit2Transfer | Permit2Deposit

/** The digest of a Permit2 transfer with its witness, which the payer signs. */
export function permit2Digest(chainId: bigint, { permitted, spender, nonce, deadline, witness }: Permit2Message): Uint8Array {
  const words = new Uint8Array(192)
  words.set(typeOf(witness))
  words.set(hash(permissionsType, [permitted.token, permitted.amount]), 32)
  putRight(words, toBytes(spender), 64)
  putUint(words, nonce, 96)
  putUint(words, deadline, 128)
  words.set(witnessHash(witness), 160)
  return typedDigest(hash(domainType, [nameHash, chainId, permit2Address]), words)
}

function typeOf(witness: Permit2Message['witness']): Uint8Array {
  if ('channelId' in witness) return depositType
  return witness.facilitator === undefined ? exactType : uptoType
}

function witnessHash(witness: Permit2Message['witness']): Uint8Array {
  if ('channelId' in witness) return hash(depositWitnessType, [witness.channelId])
  const { to, facilitator, validAfter } = witness
  return facilitator === undefined ? hash(exactWitnessType, [to, validAfter]) : hash(uptoWitnessType, [to, facilitator, validAfter])
}

function hash(type: Uint8Array, members: readonly (bigint | Hex | Uint8Array)[]): Uint8Array {
  const words = new Uint8Array(32 * (members.length + 1))
  words.set(type)
  for (const [index, member] of members.entries()) {
    const at = 32 * (index + 1)
    if (typeof member === 'bigint') putUint(words, member, at)
    else putRight(words, typeof member === 'string' ? toBytes(member) : member, at)
  }
  return keccak(words)
}

const transferFields = [
  { name: 'permitted', type: 'TokenPermissions' },
  { name: 'spender', type: 'address' },
  { name: 'nonce', type: 'uint256' },
  { name: 'deadline', type: 'uint256' },
]
const to = { name: 'to', type: 'address' }
const facilitator = { name: 'facilitator', type: 'address' }
const validAfter = { name: 'validAfter', type: 'uint256' }

/** The same as typed data, for signers that make the digest themselves. */
export function permit2TypedData(chainId: bigint, message: Permit2Message): TypedData {
  const { witness } = message
  const name = 'channelId' in witness ? 'DepositWitness' : 'Witness'
  const types = {
    EIP712Domain: [
      { name: 'name', type: 'string' },
      { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
    ],
    PermitWitnessTransferFrom: [...transferFields, { name: 'witness', type: name }],
    TokenPermissions: [
      { name: 'token', type: 'address' },
      { name: 'amount', type: 'uint256' },
    ],
    [name]: witnessFields(witness),
  }
  const domain: TypedData['domain'] = { name: 'Permit2', chainId: Number(chainId), verifyingContract: permit2Address }
  return { domain, types, primaryType: 'PermitWitnessTransferFrom', message }
}

function witnessFields(witness: Permit2Message['witness']): readonly { readonly name: string; readonly type: string }[] {
  if ('channelId' in witness) return [{ name: 'channelId', type: 'bytes32' }]
  return witness.facilitator === undefined ? [to, validAfter] : [to, facilitator, validAfter]
}
