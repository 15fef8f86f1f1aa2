import { expectTypeOf, test } from 'vitest'
import { coreErrors, defineErrors, isX402Error, type X402Error } from './errors.ts'

const tea = defineErrors({
  'tea/cold': {
    status: 418,
    phase: 'deliver',
    moneyMoved: 'yes',
    retry: 'same',
    message: ({ degrees }: { degrees: number }) => `${degrees}`,
  },
  'tea/none': { status: 404, phase: 'quote', moneyMoved: 'no', retry: 'never', message: () => 'There is none.' },
})

test('a code brings its own context', () => {
  expectTypeOf(tea('tea/cold', { degrees: 4 })).toEqualTypeOf<X402Error<'tea/cold', { degrees: number }>>()
  expectTypeOf(tea('tea/cold', { degrees: 4, cause: 'anything' }).context.degrees).toEqualTypeOf<number>()
  expectTypeOf(coreErrors('headers/duplicate', { header: 'X-PAYMENT' }).code).toEqualTypeOf<'headers/duplicate'>()
  tea('tea/none', {})
})

test('a wrong code or context does not compile', () => {
  // @ts-expect-error no such code
  tea('tea/hot', { degrees: 4 })
  // @ts-expect-error the context is missing
  tea('tea/cold', {})
  // @ts-expect-error degrees are a number
  tea('tea/cold', { degrees: '4' })
  // @ts-expect-error the message asks for no cups
  tea('tea/cold', { degrees: 4, cups: 2 })
  // @ts-expect-error a context of another code
  coreErrors('headers/duplicate', { price: '1', why: 'x' })
  defineErrors({
    // @ts-expect-error no such phase
    'tea/late': { status: 500, phase: 'tomorrow', moneyMoved: 'no', retry: 'never', message: () => '' },
  })
  defineErrors({
    // @ts-expect-error a row says whether money moved
    'tea/late': { status: 500, phase: 'quote', retry: 'never', message: () => '' },
  })
})

test('a guard with a code narrows to it', () => {
  const value: unknown = undefined
  if (isX402Error(value)) expectTypeOf(value).toEqualTypeOf<X402Error<string>>()
  if (isX402Error(value, 'tea/cold')) expectTypeOf(value.code).toEqualTypeOf<'tea/cold'>()
})
