import { arch, cpus, release, type } from 'node:os'
import type { Figure, Side } from './figure.ts'

/** The machine a run was made on, as facts beside every figure. */
export type Machine = { readonly cpu: string; readonly cores: number; readonly node: string; readonly system: string }

/** Reads the facts of this machine. */
export function machineFacts(): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() || 'unknown',
    cores: all.length,
    node: process.versions.node,
    system: `${type()} ${release().split('-')[0]} ${arch()}`,
  }
}

/** The figures as text for a terminal, one line each. */
export function terminalTable(figures: readonly Figure[]): string {
  const lines = figures.map((figure) => cellsOf(figure))
  const widths = headings.map((heading, column) => Math.max(heading.length, ...lines.map((cells) => cells[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(headings), ...lines.map(line)].join('\n')
}

/** The figures as a Markdown table. */
export function markdownTable(figures: readonly Figure[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(headings), line(headings.map(() => '---')), ...figures.map((figure) => line(cellsOf(figure)))].join('\n')
}

/** The targets that were missed, a sentence each. */
export function missesIn(figures: readonly Figure[]): readonly { readonly text: string; readonly gates: boolean }[] {
  return figures.flatMap(({ row, figure, targets, ours, unit }) =>
    targets
      .filter(({ met }) => !met)
      .map(({ text, kind }) => ({
        text: `${row}: ${figure} is ${short(ours?.median)} ${unit}, target ${text}`,
        gates: kind === 'ratio',
      })),
  )
}

const headings = ['row', 'figure', 'Flow402x', 'official 2.27', 'mppx 0.11', 'floor', 'ratio', 'target']

function cellsOf({ row, figure, unit, status, ours, official, mppx, floor, ratio, targets, note }: Figure): string[] {
  const name = note === undefined ? figure : `${figure} (${note})`
  if (status !== 'measured') return [row, name, status, ...headings.slice(3).map(() => '')]
  const verdicts = targets.map(({ text, met }) => `${text}: ${met ? 'met' : 'MISSED'}`).join('; ')
  const sides = [ours, official, mppx, floor].map((side) => sided(side, unit))
  return [row, name, ...sides, ratio === undefined ? '–' : `${short(ratio)}×`, verdicts]
}

function sided(side: Side | undefined, unit: string): string {
  if (side === undefined) return '–'
  const spread = side.samples > 1 && side.low !== side.high ? ` (${short(side.low)}–${short(side.high)})` : ''
  return `${short(side.median)} ${unit}${spread}`
}

function short(value: number | undefined): string {
  if (value === undefined) return '–'
  if (Number.isInteger(value) || Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return Math.abs(value) >= 10 ? value.toFixed(1) : value.toFixed(2)
}
