import { connect } from 'node:net'
import { address, getBase58Decoder } from '@solana/kit'
import {
  Connection,
  Keypair,
  PublicKey,
  SystemProgram,
  Transaction,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
} from '@solana/web3.js'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { type SolanaChain, startSolanaChain } from '../chain.ts'

describe('the RPC of a local Solana', () => {
  let chain: SolanaChain
  beforeAll(async () => {
    chain = await startSolanaChain({ slotTime: 0 })
  })
  afterAll(() => chain.stop())

  const post = async (body: string): Promise<unknown> => {
    const response = await fetch(chain.rpcUrl, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    return response.status === 204 ? undefined : response.json()
  }
  const ask = (method: string, ...params: unknown[]) => post(JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }))
  const wire = (transaction: Transaction | VersionedTransaction) => Buffer.from(transaction.serialize()).toString('base64')
  const transferred = async (): Promise<Transaction> => {
    const from = Keypair.generate()
    await chain.airdrop(address(from.publicKey.toBase58()), 1_000_000_000n)
    const lifetime = await new Connection(chain.rpcUrl).getLatestBlockhash()
    const transaction = new Transaction({ feePayer: from.publicKey, ...lifetime })
    transaction.add(SystemProgram.transfer({ fromPubkey: from.publicKey, toPubkey: Keypair.generate().publicKey, lamports: 1_000_000 }))
    transaction.sign(from)
    return transaction
  }

  test('answers single requests, batches and notifications as JSON-RPC says', async () => {
    expect(await ask('getHealth')).toEqual({ jsonrpc: '2.0', result: 'ok', id: 7 })
    const batch = [
      { jsonrpc: '2.0', id: 'a', method: 'getHealth' },
      { jsonrpc: '2.0', method: 'getHealth' },
      { jsonrpc: '2.0', id: 'b', method: 'noSuchMethod' },
      3,
    ]
    expect(await post(JSON.stringify(batch))).toEqual([
      { jsonrpc: '2.0', result: 'ok', id: 'a' },
      { jsonrpc: '2.0', error: { code: -32601, message: 'Method not found' }, id: 'b' },
      { jsonrpc: '2.0', error: { code: -32600, message: 'Invalid request' }, id: null },
    ])
    expect(await post(JSON.stringify({ jsonrpc: '2.0', method: 'getHealth' }))).toBeUndefined()
    expect(await post('[]')).toMatchObject({ error: { code: -32600 }, id: null })
  })

  test('answers pages of other origins, and health checks', async () => {
    const preflight = await fetch(chain.rpcUrl, { method: 'OPTIONS' })
    expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).toEqual([204, '*'])
    expect(await (await fetch(`${chain.rpcUrl}/health`)).text()).toBe('ok')
    expect((await fetch(chain.rpcUrl)).status).toBe(405)
  })

  test.each([
    ['no JSON', '{"jsonrpc":', -32700],
    ['nothing', '', -32700],
    ['a number', '5', -32600],
    ['another version', '{"jsonrpc":"1.0","id":1,"method":"getHealth"}', -32600],
    ['a method that is no text', '{"jsonrpc":"2.0","id":1,"method":{}}', -32600],
    ['a method of Object', '{"jsonrpc":"2.0","id":1,"method":"toString"}', -32601],
    ['a method that only exists over WebSocket', '{"jsonrpc":"2.0","id":1,"method":"slotSubscribe"}', -32601],
    ['no parameters where one is needed', '{"jsonrpc":"2.0","id":1,"method":"getBalance"}', -32602],
    ['named parameters', '{"jsonrpc":"2.0","id":1,"method":"getBalance","params":{"a":1}}', -32602],
    ['an address that is none', '{"jsonrpc":"2.0","id":1,"method":"getBalance","params":["0x12"]}', -32602],
    ['an unknown commitment', '{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"commitment":"surely"}]}', -32602],
    ['too many parameters', '{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{},1,2]}', -32602],
    ['a context slot to come', '{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[{"minContextSlot":900000000}]}', -32016],
    ['a block to come', '{"jsonrpc":"2.0","id":1,"method":"getBlock","params":[900000000]}', -32004],
    [
      'an account in zstd',
      `{"jsonrpc":"2.0","id":1,"method":"getAccountInfo","params":["11111111111111111111111111111111",{"encoding":"base64+zstd"}]}`,
      -32602,
    ],
    ['base64 that is cut', '{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["AQID!",{"encoding":"base64"}]}', -32602],
    ['base58 that is none', '{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["0OIl"]}', -32602],
    ['an empty transaction', '{"jsonrpc":"2.0","id":1,"method":"sendTransaction","params":["",{"encoding":"base64"}]}', -32602],
    ['a message that is none', '{"jsonrpc":"2.0","id":1,"method":"getFeeForMessage","params":["AAAA"]}', -32602],
  ])('refuses %s', async (_, body, code) => {
    expect(await post(body)).toMatchObject({ jsonrpc: '2.0', error: { code, message: expect.any(String) } })
  })

  test('refuses what is longer than a packet, has bytes behind it, or counts accounts that it has not', async () => {
    const transaction = await transferred()
    const bytes = transaction.serialize()
    const send = (raw: Uint8Array) => ask('sendTransaction', Buffer.from(raw).toString('base64'), { encoding: 'base64' })
    expect(await send(Buffer.concat([bytes, Buffer.alloc(1233 - bytes.length)]))).toMatchObject({
      error: { code: -32602, message: expect.stringContaining('too large: 1233 bytes') },
    })
    expect(await send(Buffer.concat([bytes, Buffer.of(0)]))).toMatchObject({ error: { code: -32602 } })
    expect(await send(bytes.subarray(0, -1))).toMatchObject({ error: { code: -32602 } })
    const outside = Buffer.from(bytes)
    // The second account of the transfer, before the length and the twelve bytes of its data.
    outside[bytes.length - 14] = 9
    expect(await send(outside)).toMatchObject({ error: { code: -32602, message: expect.stringContaining('sanitize') } })
    expect(await send(bytes)).toHaveProperty('result')
  })

  test('answers any mutation of a transaction, and stays up', async () => {
    const bytes = (await transferred()).serialize()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (changes, send) => {
          const mutated = Buffer.from(bytes)
          for (const [at, byte] of changes) mutated[at] = byte
          const text = mutated.toString('base64')
          const config = { encoding: 'base64', ...(send ? {} : { sigVerify: false, replaceRecentBlockhash: true }) }
          const answer = await ask(send ? 'sendTransaction' : 'simulateTransaction', text, config)
          expect(answer).toMatchObject({ jsonrpc: '2.0', id: 7 })
          expect(answer).not.toMatchObject({ error: { code: -32603 } })
        },
      ),
      { numRuns: 400 },
    )
    expect(await ask('getHealth')).toMatchObject({ result: 'ok' })
  })

  test('answers any parameters with an answer', async () => {
    const methods = [
      'getBalance',
      'getAccountInfo',
      'getMultipleAccounts',
      'getTransaction',
      'getSignatureStatuses',
      'getBlock',
      'getProgramAccounts',
      'requestAirdrop',
      'simulateTransaction',
      'getTokenAccountsByOwner',
      'getFeeForMessage',
    ]
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...methods), fc.array(fc.jsonValue()), async (method, params) => {
        const answer = await ask(method, ...params)
        expect(answer).toMatchObject({ jsonrpc: '2.0', id: 7 })
        expect(answer).not.toMatchObject({ error: { code: -32603 } })
      }),
      { numRuns: 300 },
    )
  })

  test('tells the failures that no instruction made in the shapes of a node', async () => {
    const poor = Keypair.generate()
    const lifetime = await new Connection(chain.rpcUrl).getLatestBlockhash()
    const transaction = new Transaction({ feePayer: poor.publicKey, ...lifetime }).add(
      new TransactionInstruction({
        programId: new PublicKey('MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr'),
        keys: [],
        data: Buffer.from('x'),
      }),
    )
    transaction.sign(poor)
    expect(await ask('sendTransaction', wire(transaction), { encoding: 'base64' })).toEqual({
      jsonrpc: '2.0',
      id: 7,
      error: {
        code: -32002,
        message: 'Transaction simulation failed: Attempt to debit an account but found no record of a prior credit.',
        data: {
          err: 'AccountNotFound',
          logs: [],
          accounts: null,
          unitsConsumed: 0,
          returnData: null,
          innerInstructions: null,
          replacementBlockhash: null,
        },
      },
    })
    await chain.setAccount(address(poor.publicKey.toBase58()), { lamports: 4_999n })
    expect(await ask('simulateTransaction', wire(transaction), { encoding: 'base64' })).toMatchObject({
      result: { value: { err: 'InsufficientFundsForFee' } },
    })
    // What is left must be nothing or enough to keep the account.
    await chain.setAccount(address(poor.publicKey.toBase58()), { lamports: 6_000n })
    expect(await ask('simulateTransaction', wire(transaction), { encoding: 'base64' })).toMatchObject({
      result: { value: { err: { InsufficientFundsForRent: { account_index: 0 } } } },
    })
    const message = new TransactionMessage({
      payerKey: poor.publicKey,
      recentBlockhash: lifetime.blockhash,
      instructions: [new TransactionInstruction({ programId: Keypair.generate().publicKey, keys: [] })],
    })
    await chain.setAccount(address(poor.publicKey.toBase58()), { lamports: 1_000_000_000n })
    expect(
      await ask('simulateTransaction', wire(new VersionedTransaction(message.compileToV0Message())), { encoding: 'base64' }),
    ).toMatchObject({
      result: { value: { err: expect.stringMatching(/ProgramAccountNotFound|InvalidProgramForExecution/) } },
    })
  })

  test('refuses a version that the client did not ask for', async () => {
    const signature = await new Connection(chain.rpcUrl).requestAirdrop(Keypair.generate().publicKey, 5_000_000)
    await chain.advance(32)
    expect(await ask('getTransaction', signature)).toMatchObject({ error: { code: -32015 } })
    expect(await ask('getTransaction', signature, { maxSupportedTransactionVersion: 0 })).toMatchObject({ result: { version: 0 } })
    expect(await ask('getTransaction', signature, { commitment: 'processed' })).toMatchObject({ error: { code: -32602 } })
    const unknown = getBase58Decoder().decode(new Uint8Array(64).fill(9))
    expect(await ask('getTransaction', unknown)).toMatchObject({ result: null })
  })

  test('serves requests and subscriptions over WebSocket until they end', async () => {
    const socket = new WebSocket(chain.wsUrl)
    const heard: { id?: number; result?: unknown; method?: string; params?: { result: { slot: number } } }[] = []
    socket.on('message', (data) => heard.push(JSON.parse(data.toString())))
    await new Promise((resolve) => socket.once('open', resolve))
    const say = (method: string, ...params: unknown[]) =>
      socket.send(JSON.stringify({ jsonrpc: '2.0', id: heard.length + 1, method, params }))
    say('getHealth')
    await expect.poll(() => heard.length).toBe(1)
    say('slotSubscribe')
    await expect.poll(() => heard.length).toBe(2)
    await chain.advance()
    await expect.poll(() => heard.length).toBe(3)
    const subscription = heard[1]?.result
    say('slotUnsubscribe', subscription)
    await expect.poll(() => heard.length).toBe(4)
    await chain.advance()
    say('slotUnsubscribe', subscription)
    await expect.poll(() => heard.length).toBe(5)
    say('voteSubscribe')
    await expect.poll(() => heard.length).toBe(6)
    socket.send('{')
    await expect.poll(() => heard.length).toBe(7)
    expect(heard).toMatchObject([
      { result: 'ok' },
      { result: subscription },
      { method: 'slotNotification', params: { subscription } },
      { result: true },
      { result: false },
      { error: { code: -32601 } },
      { error: { code: -32700 } },
    ])
    socket.terminate()
  })

  test('outlives clients that break off or send too much', async () => {
    const { port } = new URL(chain.rpcUrl)
    const socket = connect(Number(port), '127.0.0.1')
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"json')
    socket.destroy()
    const response = await fetch(chain.rpcUrl, { method: 'POST', body: 'x'.repeat(1_100_000) })
    expect(response.status).toBe(413)
    expect(await ask('getHealth')).toMatchObject({ result: 'ok' })
  })
})
