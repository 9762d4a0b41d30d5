// Converts durations between text ('250ms', '5s', '10m', '2h', '1d') and milliseconds.

const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const PATTERN = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)$/

/** Parses a duration to milliseconds: one number and one unit, without sign or spaces, at most 365 d. Returns undefined
 *  when `text` is not a duration. */
export function parseDurationMs(text: string): number | undefined {
  const match = PATTERN.exec(text)
  if (match === null) return undefined
  const value = Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS]
  return value <= 365 * UNITS_MS.d ? Math.round(value) : undefined
}

/** Formats milliseconds as the shortest exact text: 1500 -> '1.5s', 60000 -> '1m'. */
export function formatDurationMs(ms: number): string {
  for (const unit of ['d', 'h', 'm'] as const) {
    if (ms >= UNITS_MS[unit] && ms % UNITS_MS[unit] === 0) return `${ms / UNITS_MS[unit]}${unit}`
  }
  if (ms >= 1000) return `${Number((ms / 1000).toFixed(3))}s`
  return `${Number(ms.toFixed(ms < 10 ? 2 : 0))}ms`
}
