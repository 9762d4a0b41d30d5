// Text in padded columns; the last one uses the rest of the terminal's width. Pure.

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** When the terminal is too narrow, columns are dropped, the highest number first. Absent: never dropped. */
  readonly dropAt?: number
}

export interface TableOptions {
  /** Columns of the terminal. @default unlimited */
  readonly width?: number
  /** Prefix of each line. @default '' */
  readonly indent?: string
}

const GAP = '  '
/** Minimum width of the last column; below it, other columns are dropped. */
const MIN_LAST = 20

/** The lines of a table with its titles; only cells of the last column are truncated, with an ellipsis. */
export function textTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string[] {
  const { width = Number.POSITIVE_INFINITY, indent = '' } = options
  const cells = rows.map((row) => row.map(printable))
  const widths = columns.map((c, i) => Math.max(c.title.length, ...cells.map((row) => length(row[i] ?? ''))))
  const kept = chooseColumns(columns, widths, width - indent.length)
  const last = kept.at(-1)!
  const before = kept.slice(0, -1).reduce((sum, i) => sum + widths[i]! + GAP.length, indent.length)
  const lastWidth = Math.max(1, width - before)
  const line = (row: readonly string[]): string => {
    const parts = kept.map((i) =>
      i === last ? cut(row[i] ?? '', lastWidth) : pad(row[i] ?? '', widths[i]!, columns[i]!),
    )
    return `${indent}${parts.join(GAP)}`.trimEnd()
  }
  return [line(columns.map((c) => c.title)), ...cells.map(line)]
}

/** Removes line breaks, control and formatting characters: a reason may contain any text a worker threw, escape
 *  sequences included. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
}

function chooseColumns(columns: readonly Column[], widths: readonly number[], width: number): number[] {
  let kept = columns.map((_, i) => i)
  const droppable = kept
    .filter((i) => columns[i]!.dropAt !== undefined)
    .toSorted((a, b) => columns[b]!.dropAt! - columns[a]!.dropAt!)
  for (const drop of droppable) {
    const last = kept.at(-1)!
    const fixed = kept.slice(0, -1).reduce((sum, i) => sum + widths[i]! + GAP.length, 0)
    if (fixed + Math.min(MIN_LAST, widths[last]!) <= width) break
    kept = kept.filter((i) => i !== drop)
  }
  return kept
}

function pad(text: string, width: number, column: Column): string {
  const fill = ' '.repeat(Math.max(0, width - length(text)))
  return column.align === 'right' ? fill + text : text + fill
}

function cut(text: string, width: number): string {
  if (length(text) <= width) return text
  return `${Array.from(text)
    .slice(0, Math.max(0, width - 1))
    .join('')}…`
}

function length(text: string): number {
  return Array.from(text).length
}
