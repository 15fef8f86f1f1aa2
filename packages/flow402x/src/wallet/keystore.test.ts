import { verifies } from '@flow402x/testing/requirements'
import { describe, expect, it } from 'vitest'
import { accountOf } from './account.ts'
import { isSealed, openSecret, sealSecret } from './keystore.ts'

// The vectors of the Web3 Secret Storage definition: one key, once by each derivation.
const secret = '7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d'
const vectors = {
  pbkdf2: {
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: '6087dab2f9fdbbfaddc31a909735c1e6' },
      ciphertext: '5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46',
      kdf: 'pbkdf2',
      kdfparams: { c: 262144, dklen: 32, prf: 'hmac-sha256', salt: 'ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd' },
      mac: '517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2',
    },
    id: '3198bc9c-6672-5ab3-d995-4942343ae5b6',
    version: 3,
  },
  scrypt: {
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: '83dbcc02d8ccb40e466191a123791e0e' },
      ciphertext: 'd172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c',
      kdf: 'scrypt',
      kdfparams: { dklen: 32, n: 262144, p: 8, r: 1, salt: 'ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19' },
      mac: '2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097',
    },
    id: '3198bc9c-6672-5ab3-d995-4942343ae5b6',
    version: 3,
  },
}

const text = (opened: Uint8Array | string) => (typeof opened === 'string' ? opened : Buffer.from(opened).toString('hex'))

describe('an encrypted key file', () => {
  // The second takes seconds: so small a block is beyond OpenSSL, and plain JavaScript does it.
  it.each(['pbkdf2', 'scrypt'] as const)('of the standard is opened: %s', async (kdf) => {
    verifies('WALLET-FILES')
    const file = JSON.stringify(vectors[kdf])
    expect(isSealed(file)).toBe(true)
    expect(text(await openSecret(file, 'testpassword'))).toBe(secret)
  })

  it('gives back what was sealed, to this passphrase alone, and never the same bytes twice', async () => {
    const bytes = Buffer.from(secret, 'hex')
    const { address } = accountOf('eip155', bytes)
    const [file, other] = [
      await sealSecret(bytes, { passphrase: 'correct horse', address }),
      await sealSecret(bytes, { passphrase: 'correct horse', address }),
    ]
    expect(text(await openSecret(file, 'correct horse'))).toBe(secret)
    expect(await openSecret(file, 'correct horse ')).toBe('wrong')
    expect(file).not.toContain(secret)
    const [one, two] = [JSON.parse(file), JSON.parse(other)]
    expect(one).toMatchObject({ version: 3, address: address.slice(2), crypto: { kdf: 'scrypt', kdfparams: { n: 131072, r: 8, p: 1 } } })
    expect(one.crypto.ciphertext).not.toBe(two.crypto.ciphertext)
    expect(one.crypto.kdfparams.salt).not.toBe(two.crypto.kdfparams.salt)
  })

  it('that was changed in any part is not opened', async () => {
    const { pbkdf2 } = vectors
    const flipped = (digits: string) => `${digits.startsWith('0') ? '1' : '0'}${digits.slice(1)}`
    const changed = [
      { ...pbkdf2, crypto: { ...pbkdf2.crypto, ciphertext: flipped(pbkdf2.crypto.ciphertext) } },
      { ...pbkdf2, crypto: { ...pbkdf2.crypto, mac: flipped(pbkdf2.crypto.mac) } },
      { ...pbkdf2, crypto: { ...pbkdf2.crypto, mac: pbkdf2.crypto.mac.slice(2) } },
      { ...pbkdf2, crypto: { ...pbkdf2.crypto, kdfparams: { ...pbkdf2.crypto.kdfparams, c: 1024 } } },
    ]
    expect(await openSecret(JSON.stringify(pbkdf2), 'Testpassword')).toBe('wrong')
    for (const file of changed) expect(await openSecret(JSON.stringify(file), 'testpassword')).toBe('wrong')
  })

  it('of another kind, or that asks for too much, is not read at all', async () => {
    const { scrypt } = vectors
    const costly = (change: object) => ({ ...scrypt, crypto: { ...scrypt.crypto, kdfparams: { ...scrypt.crypto.kdfparams, ...change } } })
    const others = [
      '{',
      '{}',
      '[1,2]',
      JSON.stringify({ ...scrypt, version: 1 }),
      JSON.stringify({ ...scrypt, crypto: { ...scrypt.crypto, cipher: 'aes-128-cbc' } }),
      JSON.stringify({ ...scrypt, crypto: { ...scrypt.crypto, kdf: 'md5' } }),
      JSON.stringify(costly({ n: 2 ** 30 })),
      JSON.stringify(costly({ p: 1000 })),
      JSON.stringify(costly({ dklen: 16 })),
      JSON.stringify({ ...scrypt, crypto: { ...scrypt.crypto, cipherparams: { iv: '00' } } }),
    ]
    for (const file of others) expect(await openSecret(file, 'testpassword')).toBe('unreadable')
  })
})
