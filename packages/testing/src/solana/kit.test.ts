import {
  AccountRole,
  type Address,
  address,
  appendTransactionMessageInstructions,
  assertIsTransactionWithBlockhashLifetime,
  type Commitment,
  compressTransactionMessageUsingAddressLookupTables,
  createKeyPairSignerFromBytes,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  devnet,
  generateKeyPairSigner,
  getAddressEncoder,
  getBase58Encoder,
  getBase64EncodedWireTransaction,
  getProgramDerivedAddress,
  getSignatureFromTransaction,
  type Instruction,
  type KeyPairSigner,
  pipe,
  type RpcDevnet,
  type RpcSubscriptionsDevnet,
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE,
  SOLANA_ERROR__JSON_RPC__SERVER_ERROR_TRANSACTION_SIGNATURE_VERIFICATION_FAILURE,
  SOLANA_ERROR__TRANSACTION_ERROR__ALREADY_PROCESSED,
  type SolanaRpcApiDevnet,
  type SolanaRpcSubscriptionsApi,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from '@solana/kit'
import { findAssociatedTokenPda, getCreateAssociatedTokenInstruction, getTransferCheckedInstruction } from '@solana-program/token'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type SolanaChain, startSolanaChain } from './chain.ts'
import { tokenPrograms } from './tokens.ts'

const memoProgram = address('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr')
const lighthouse = address('L2TExMFKdjpN9kozasaurPirfHy9P8sbXoAN1qA3S95')

describe('an unmodified client of kit', () => {
  let chain: SolanaChain
  let buyer: KeyPairSigner
  let facilitator: KeyPairSigner
  let rpc: RpcDevnet<SolanaRpcApiDevnet>
  let subscriptions: RpcSubscriptionsDevnet<SolanaRpcSubscriptionsApi>
  beforeAll(async () => {
    chain = await startSolanaChain({ slotTime: 40 })
    buyer = await signerOf(chain.buyer.privateKey)
    facilitator = await signerOf(chain.facilitator.privateKey)
    rpc = createSolanaRpc(devnet(chain.rpcUrl))
    subscriptions = createSolanaRpcSubscriptions(devnet(chain.wsUrl))
  })
  afterAll(() => chain.stop())

  const sign = async (instructions: readonly Instruction[], commitment: Commitment = 'confirmed') => {
    const { value } = await rpc.getLatestBlockhash({ commitment }).send()
    return signTransactionMessageWithSigners(
      pipe(
        createTransactionMessage({ version: 0 }),
        (empty) => setTransactionMessageFeePayerSigner(facilitator, empty),
        (paid) => setTransactionMessageLifetimeUsingBlockhash(value, paid),
        (living) => appendTransactionMessageInstructions(instructions, living),
      ),
    )
  }

  test('sends, confirms by subscription and reads back an exact payment', async () => {
    const before = await chain.balanceOf(chain.seller.address)
    const transaction = await sign(await payment({ chain, buyer, amount: 10_000n }))
    assertIsTransactionWithBlockhashLifetime(transaction)
    await sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions: subscriptions })(transaction, { commitment: 'confirmed' })
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 10_000n)

    const signature = getSignatureFromTransaction(transaction)
    const config = { commitment: 'confirmed', maxSupportedTransactionVersion: 0 } as const
    const parsed = await rpc.getTransaction(signature, { ...config, encoding: 'jsonParsed' }).send()
    const [source, destination] = await Promise.all([chain.buyer, chain.seller].map((account) => tokenAccount(chain, account.address)))
    expect(parsed?.transaction.message.instructions.slice(2)).toEqual([
      {
        program: 'spl-token',
        programId: tokenPrograms['spl-token'],
        stackHeight: 1,
        parsed: {
          type: 'transferChecked',
          info: {
            source,
            destination,
            mint: chain.usdc.address,
            authority: chain.buyer.address,
            tokenAmount: { amount: '10000', decimals: 6n, uiAmount: 0.01, uiAmountString: '0.01' },
          },
        },
      },
      { program: 'spl-memo', programId: memoProgram, stackHeight: 1, parsed: 'a memo' },
    ])
    // Two signatures, and 20,000 units at one micro-lamport each, rounded up.
    expect(parsed?.meta).toMatchObject({ err: null, fee: 10_001n })
    const { preBalances = [], postBalances = [], preTokenBalances = [], postTokenBalances = [] } = parsed?.meta ?? {}
    expect((preBalances[0] ?? 0n) - (postBalances[0] ?? 0n)).toBe(10_001n)
    const held = (balances: typeof preTokenBalances) =>
      new Map(balances.map(({ owner, uiTokenAmount }) => [owner ?? '', BigInt(uiTokenAmount.amount)]))
    const [old, now] = [held(preTokenBalances), held(postTokenBalances)]
    const gained = ({ address }: { address: Address }) => (now.get(address) ?? 0n) - (old.get(address) ?? 0n)
    expect([gained(chain.buyer), gained(chain.seller)]).toEqual([-10_000n, 10_000n])

    const plain = await rpc.getTransaction(signature, { ...config, encoding: 'base64' }).send()
    expect(plain?.transaction).toEqual([getBase64EncodedWireTransaction(transaction), 'base64'])
    const [newest] = await rpc.getSignaturesForAddress(address(String(destination)), { commitment: 'confirmed', limit: 1 }).send()
    expect(newest).toMatchObject({ signature, err: null, memo: '[6] a memo', slot: parsed?.slot })
    const block = await rpc.getBlock(parsed?.slot ?? 0n, { ...config, encoding: 'json', rewards: false }).send()
    expect(block?.transactions.map(({ transaction: { signatures } }) => signatures[0])).toContain(signature)
  })

  test('tells what it receives, confirms and changes', async () => {
    const { address: stranger } = await generateKeyPairSigner()
    const abort = new AbortController()
    const { abortSignal } = { abortSignal: abort.signal }
    const accounts = await subscriptions
      .accountNotifications(stranger, { commitment: 'confirmed', encoding: 'base64' })
      .subscribe({ abortSignal })
    const slots = await subscriptions.slotNotifications().subscribe({ abortSignal })
    const transaction = await sign([solTransfer({ from: buyer, to: stranger, lamports: 5_000_000n })])
    const signature = getSignatureFromTransaction(transaction)
    const statuses = await subscriptions
      .signatureNotifications(signature, { commitment: 'finalized', enableReceivedNotification: true })
      .subscribe({ abortSignal })
    // Kit drops what arrives before it is asked for.
    const told = Promise.all([taken(accounts, 1), taken(slots, 1), taken(statuses, 2)])
    await rpc.sendTransaction(getBase64EncodedWireTransaction(transaction), { encoding: 'base64', preflightCommitment: 'confirmed' }).send()
    const [[account], [step], values] = await told
    expect(account?.value.lamports).toBe(5_000_000n)
    expect(step).toEqual({ slot: step?.slot, parent: (step?.slot ?? 0n) - 1n, root: (step?.slot ?? 0n) - 32n })
    expect(values.map(({ value }) => value)).toEqual(['receivedSignature', { err: null }])
    abort.abort()
  })

  test('runs the same transaction once', async () => {
    const before = await chain.balanceOf(chain.seller.address)
    const transaction = await sign(await payment({ chain, buyer, amount: 3n }))
    const wire = getBase64EncodedWireTransaction(transaction)
    const send = (skipPreflight: boolean) =>
      rpc.sendTransaction(wire, { encoding: 'base64', skipPreflight, preflightCommitment: 'confirmed' }).send()
    const signature = await send(false)
    expect(await send(true)).toBe(signature)
    await expect(send(false)).rejects.toMatchObject({
      context: { __code: SOLANA_ERROR__JSON_RPC__SERVER_ERROR_SEND_TRANSACTION_PREFLIGHT_FAILURE },
      cause: { context: { __code: SOLANA_ERROR__TRANSACTION_ERROR__ALREADY_PROCESSED } },
    })
    const { value } = await rpc.simulateTransaction(wire, { encoding: 'base64', commitment: 'confirmed' }).send()
    expect(value.err).toBe('AlreadyProcessed')
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 3n)
  })

  test('refuses a transaction without its payer’s signature, and drops it silently without a preflight', async () => {
    const transaction = await sign(await payment({ chain, buyer, amount: 4n }))
    const unsigned = { ...transaction, signatures: { ...transaction.signatures, [chain.buyer.address]: null } }
    const wire = getBase64EncodedWireTransaction(unsigned)
    const send = (skipPreflight: boolean) =>
      rpc.sendTransaction(wire, { encoding: 'base64', skipPreflight, preflightCommitment: 'confirmed' }).send()
    await expect(send(false)).rejects.toMatchObject({
      context: { __code: SOLANA_ERROR__JSON_RPC__SERVER_ERROR_TRANSACTION_SIGNATURE_VERIFICATION_FAILURE },
    })
    const signature = await send(true)
    expect((await rpc.getSignatureStatuses([signature], { searchTransactionHistory: true }).send()).value).toEqual([null])
    const config = { encoding: 'base64', commitment: 'confirmed' } as const
    const simulate = (sigVerify: boolean) =>
      (sigVerify
        ? rpc.simulateTransaction(wire, { ...config, sigVerify: true })
        : rpc.simulateTransaction(wire, { ...config, sigVerify: false })
      ).send()
    expect((await simulate(false)).value.err).toBeNull()
    expect((await simulate(true)).value.err).toBe('SignatureFailure')
  })

  test('tells a failing instruction as a node does', async () => {
    const transaction = await sign(await payment({ chain, buyer, amount: 10_000_000_000_000n }))
    const wire = getBase64EncodedWireTransaction(transaction)
    const { value } = await rpc.simulateTransaction(wire, { encoding: 'base64', commitment: 'confirmed' }).send()
    expect(value.err).toEqual({ InstructionError: [2n, { Custom: 1n }] })
    expect(value.logs).toContain('Program TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA failed: custom program error: 0x1')
    const raw = await ask(chain, 'sendTransaction', [wire, { encoding: 'base64', preflightCommitment: 'confirmed' }])
    expect(raw).toMatchObject({
      error: {
        code: -32002,
        message: 'Transaction simulation failed: Error processing Instruction 2: custom program error: 0x1',
        data: { err: { InstructionError: [2, { Custom: 1 }] }, logs: value.logs, unitsConsumed: expect.any(Number) },
      },
    })
    // Without a preflight it stands in a block, has failed, and was paid for.
    const before = await chain.solBalance(chain.facilitator.address)
    const signature = await rpc.sendTransaction(wire, { encoding: 'base64', skipPreflight: true }).send()
    const [status] = (await rpc.getSignatureStatuses([signature]).send()).value
    expect(status?.err).toEqual({ InstructionError: [2n, { Custom: 1n }] })
    expect(before - (await chain.solBalance(chain.facilitator.address))).toBe(10_001n)
  })

  test('simulates with another blockhash, and shows accounts and inner instructions', async () => {
    const { address: owner } = await generateKeyPairSigner()
    const ata = await tokenAccount(chain, owner)
    const { address: mint, tokenProgram } = chain.usdc
    const transaction = await sign([getCreateAssociatedTokenInstruction({ payer: facilitator, ata, owner, mint, tokenProgram })])
    const lapsed = pipe(transaction, (signed) => getBase64EncodedWireTransaction(signed))
    await chain.expireBlockhashes()
    const config = { encoding: 'base64', commitment: 'confirmed', innerInstructions: true } as const
    expect((await rpc.simulateTransaction(lapsed, config).send()).value.err).toBe('BlockhashNotFound')
    const { value } = await rpc
      .simulateTransaction(lapsed, {
        ...config,
        replaceRecentBlockhash: true,
        accounts: { addresses: [ata, mint], encoding: 'jsonParsed' },
      })
      .send()
    expect(value.err).toBeNull()
    expect(value.replacementBlockhash?.lastValidBlockHeight).toBeGreaterThan(0n)
    expect(value.accounts[0]?.data).toMatchObject({
      program: 'spl-token',
      parsed: { type: 'account', info: { owner, mint, state: 'initialized' } },
    })
    expect(value.accounts[1]?.data).toMatchObject({ parsed: { type: 'mint', info: { decimals: 6, mintAuthority: chain.owner.address } } })
    const inner = value.innerInstructions?.[0]?.instructions ?? []
    expect(inner.map((call) => ('parsed' in call ? call.parsed.type : call))).toEqual([
      'getAccountDataSize',
      'createAccount',
      'initializeImmutableOwner',
      'initializeAccount3',
    ])
    expect((await rpc.getAccountInfo(ata, { encoding: 'base64', commitment: 'processed' }).send()).value).toBeNull()
  })

  test('loads accounts from a lookup table', async () => {
    const table = await lookupTable({
      chain,
      rpc,
      sign,
      authority: facilitator,
      addresses: [chain.usdc.address, await tokenAccount(chain, chain.seller.address)],
    })
    const { value } = await rpc.getLatestBlockhash({ commitment: 'confirmed' }).send()
    const message = pipe(
      createTransactionMessage({ version: 0 }),
      (empty) => setTransactionMessageFeePayerSigner(facilitator, empty),
      (paid) => setTransactionMessageLifetimeUsingBlockhash(value, paid),
    )
    const instructions = await payment({ chain, buyer, amount: 6n })
    const full = compressTransactionMessageUsingAddressLookupTables(appendTransactionMessageInstructions(instructions, message), table)
    const transaction = await signTransactionMessageWithSigners(full)
    const before = await chain.balanceOf(chain.seller.address)
    const signature = await rpc
      .sendTransaction(getBase64EncodedWireTransaction(transaction), { encoding: 'base64', preflightCommitment: 'confirmed' })
      .send()
    expect(await chain.balanceOf(chain.seller.address)).toBe(before + 6n)
    const found = await vi.waitFor(async () => {
      const entry = await rpc
        .getTransaction(signature, { commitment: 'confirmed', encoding: 'json', maxSupportedTransactionVersion: 0 })
        .send()
      expect(entry).not.toBeNull()
      return entry
    })
    expect(found?.meta?.loadedAddresses).toEqual({
      writable: [await tokenAccount(chain, chain.seller.address)],
      readonly: [chain.usdc.address],
    })
    expect(found?.meta?.postTokenBalances?.length).toBe(2)
  })

  test('pays in Token-2022, with a fee withheld and with a hook called', async () => {
    const program = tokenPrograms['spl-token-2022']
    const pyusd = address('CXk2AMBfi3TwaEL2468s6zP8xq9NxTXjp9gjMgzeUynM')
    const withFee = await chain.createMint({ decimals: 6, transferFee: { basisPoints: 100, maximum: 1_000_000n } })
    const withHook = await chain.createMint({ decimals: 6, transferHook: lighthouse })
    for (const [mint, received, extra] of [
      [pyusd, 1_000n, []],
      [withFee, 990n, []],
      [withHook, 1_000n, [{ address: lighthouse, role: AccountRole.READONLY }]],
    ] as const) {
      await chain.mint(buyer.address, 5_000n, { mint })
      await chain.createTokenAccount(chain.seller.address, { mint })
      const instructions = await payment({ chain, buyer, amount: 1_000n, mint, tokenProgram: program })
      const withExtra = instructions
        .slice(2)
        .map((one) => (one.programAddress === program ? { ...one, accounts: [...(one.accounts ?? []), ...extra] } : one))
      const wire = getBase64EncodedWireTransaction(await sign(withExtra))
      const signature = await rpc.sendTransaction(wire, { encoding: 'base64', preflightCommitment: 'confirmed' }).send()
      expect([mint, await chain.balanceOf(buyer.address, { mint })]).toEqual([mint, 4_000n])
      expect([mint, await chain.balanceOf(chain.seller.address, { mint })]).toEqual([mint, received])
      const [status] = (await rpc.getSignatureStatuses([signature]).send()).value
      expect(status?.err).toBeNull()
      const supply = await rpc.getTokenSupply(mint).send()
      expect(supply.value.amount).toBe('5000')
    }
    const { value } = await rpc
      .getTokenAccountsByOwner(buyer.address, { programId: program }, { encoding: 'jsonParsed', commitment: 'processed' })
      .send()
    expect(new Set(value.map(({ account }) => account.data.parsed.info.mint))).toEqual(new Set([pyusd, withFee, withHook]))
  })

  test('runs what wallets add for Lighthouse, by a program that stands in for it', async () => {
    const assertion = {
      programAddress: lighthouse,
      accounts: [{ address: buyer.address, role: AccountRole.READONLY }],
      data: Uint8Array.of(6, 1, 2, 3),
    }
    const wire = getBase64EncodedWireTransaction(await sign([...(await payment({ chain, buyer, amount: 9n })), assertion]))
    const { value } = await rpc.simulateTransaction(wire, { encoding: 'base64', commitment: 'confirmed' }).send()
    expect([value.err, value.logs?.at(-1)]).toEqual([null, `Program ${lighthouse} success`])
    await rpc.sendTransaction(wire, { encoding: 'base64', preflightCommitment: 'confirmed' }).send()
  })

  test('writes integers that no double holds', async () => {
    const { address: rich } = await generateKeyPairSigner()
    const lamports = 9_007_199_254_740_993n
    await chain.setAccount(rich, { lamports })
    expect((await rpc.getBalance(rich).send()).value).toBe(lamports)
    const { value } = await rpc.getMultipleAccounts([rich, chain.usdc.address], { encoding: 'base64' }).send()
    expect(value.map((account) => account?.lamports)).toEqual([lamports, 1_000_000_000n])
  })
})

async function taken<Value>(values: AsyncIterable<Value>, count: number): Promise<Value[]> {
  const all: Value[] = []
  for await (const value of values) {
    all.push(value)
    if (all.length === count) break
  }
  return all
}

async function ask(chain: SolanaChain, method: string, params: unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const response = await fetch(chain.rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  return response.json()
}

async function lookupTable({
  chain,
  rpc,
  sign,
  authority,
  addresses,
}: {
  chain: SolanaChain
  rpc: RpcDevnet<SolanaRpcApiDevnet>
  sign: (instructions: readonly Instruction[]) => Promise<Parameters<typeof getBase64EncodedWireTransaction>[0]>
  authority: KeyPairSigner
  addresses: Address[]
}) {
  const programAddress = address('AddressLookupTab1e1111111111111111111111111')
  const slot = await rpc.getSlot({ commitment: 'finalized' }).send()
  const slotBytes = new Uint8Array(BigUint64Array.of(slot).buffer)
  const [table, bump] = await getProgramDerivedAddress({
    programAddress,
    seeds: [getAddressEncoder().encode(authority.address), slotBytes],
  })
  const accounts = [
    { address: table, role: AccountRole.WRITABLE },
    { address: authority.address, role: AccountRole.READONLY_SIGNER },
    { address: authority.address, role: AccountRole.WRITABLE_SIGNER },
    { address: address('11111111111111111111111111111111'), role: AccountRole.READONLY },
  ]
  const create = { programAddress, accounts, data: Uint8Array.from([0, 0, 0, 0, ...slotBytes, bump]) }
  const keys = addresses.flatMap((one) => [...getAddressEncoder().encode(one)])
  const extend = { programAddress, accounts, data: Uint8Array.from([2, 0, 0, 0, addresses.length, 0, 0, 0, 0, 0, 0, 0, ...keys]) }
  const wire = getBase64EncodedWireTransaction(await sign([create, extend]))
  await rpc.sendTransaction(wire, { encoding: 'base64', preflightCommitment: 'confirmed' }).send()
  // A table's entries are good from the slot after the one that wrote them.
  await chain.advance()
  return { [table]: addresses }
}

function solTransfer({ from, to, lamports }: { from: KeyPairSigner; to: Address; lamports: bigint }): Instruction {
  const source = { address: from.address, role: AccountRole.WRITABLE_SIGNER, signer: from }
  return {
    programAddress: address('11111111111111111111111111111111'),
    accounts: [source, { address: to, role: AccountRole.WRITABLE }],
    data: Uint8Array.from([2, 0, 0, 0, ...new Uint8Array(BigUint64Array.of(lamports).buffer)]),
  }
}

async function tokenAccount(chain: SolanaChain, owner: Address): Promise<Address> {
  const [ata] = await findAssociatedTokenPda({ owner, mint: chain.usdc.address, tokenProgram: chain.usdc.tokenProgram })
  return ata
}

async function signerOf(privateKey: string): Promise<KeyPairSigner> {
  return createKeyPairSignerFromBytes(getBase58Encoder().encode(privateKey))
}

async function payment({
  chain,
  buyer,
  amount,
  mint = chain.usdc.address,
  tokenProgram = chain.usdc.tokenProgram,
}: {
  chain: SolanaChain
  buyer: KeyPairSigner
  amount: bigint
  mint?: Address
  tokenProgram?: Address
}): Promise<Instruction[]> {
  const [source] = await findAssociatedTokenPda({ owner: buyer.address, mint, tokenProgram })
  const [destination] = await findAssociatedTokenPda({ owner: chain.seller.address, mint, tokenProgram })
  return [
    budget(2, 20_000n, 4),
    budget(3, 1n, 8),
    getTransferCheckedInstruction({ source, mint, destination, authority: buyer, amount, decimals: 6 }, { programAddress: tokenProgram }),
    memo('a memo'),
  ]
}

function budget(kind: number, value: bigint, length: number): Instruction {
  const bytes = new Uint8Array(BigUint64Array.of(value).buffer).slice(0, length)
  return { programAddress: address('ComputeBudget111111111111111111111111111111'), data: Uint8Array.from([kind, ...bytes]) }
}

function memo(text: string): Instruction {
  return { programAddress: memoProgram, data: new TextEncoder().encode(text) }
}
