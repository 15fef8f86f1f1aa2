/**
 * A program that accepts every instruction: sixteen bytes of SBF (`r0 = 0; exit`) in the smallest ELF file the loader takes.
 *
 * It stands in for programs whose binary is not published with a package, such as Lighthouse: a transaction that calls one
 * executes, and **none of that program's own checks are made**.
 */
export function acceptingProgram(): Uint8Array {
  const code = Uint8Array.from([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
  const names = new TextEncoder().encode('\0.text\0.shstrtab\0')
  const at = { code: header, names: header + code.length, sections: align(header + code.length + names.length) }
  const file = new Uint8Array(at.sections + 3 * section)
  const view = new DataView(file.buffer)
  const words = (offset: number, values: readonly number[]): void => {
    for (const [index, value] of values.entries()) view.setBigUint64(offset + index * 8, BigInt(value), true)
  }

  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]) // ELF, 64 bits, little-endian
  view.setUint16(16, 3, true) // a shared object
  view.setUint16(18, 247, true) // for BPF
  view.setUint32(20, 1, true)
  words(24, [at.code, 0, at.sections]) // the entry point, no program headers, the section table
  for (const [index, value] of [header, 56, 0, section, 3, 2].entries()) view.setUint16(52 + index * 2, value, true)
  file.set(code, at.code)
  file.set(names, at.names)
  const describe = (index: number, name: number, type: number, flags: number, [offset, length]: readonly [number, number]): void => {
    view.setUint32(at.sections + index * section, name, true)
    view.setUint32(at.sections + index * section + 4, type, true)
    words(at.sections + index * section + 8, [flags, offset, offset, length, 0, 1])
  }
  describe(1, 1, 1, 6, [at.code, code.length])
  describe(2, 7, 3, 0, [at.names, names.length])
  return file
}

const header = 64
const section = 64

function align(offset: number): number {
  return Math.ceil(offset / 8) * 8
}
