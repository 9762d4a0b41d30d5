// Converts sizes between text ('50MiB', '1GB', '4096') and bytes.

const UNITS = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
} as const
const PATTERN = /^(\d{1,15}(?:\.\d{1,6})?)(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)?$/

/** Parses a size ('300MiB', '1.5GiB', '4096') to whole bytes, at most 2^53-1. Returns undefined when `text` is not a size. */
export function parseBytes(text: string): number | undefined {
  const match = PATTERN.exec(text)
  if (match === null) return undefined
  const value = Math.round(Number(match[1]) * UNITS[(match[2] ?? 'B') as keyof typeof UNITS])
  return Number.isSafeInteger(value) ? value : undefined
}

/** Formats bytes as MB of 10^6 bytes with one decimal ('88.5 MB'), or as KB below 1 MB. Every table of byre uses this unit. */
export function formatMegabytes(bytes: number): string {
  return Math.abs(bytes) < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(1)} MB`
}
