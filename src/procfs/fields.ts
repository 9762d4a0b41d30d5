// Parsers of the number formats in /proc: plain integers and the `Key:   value kB` lines of smaps_rollup.

/** Values by key: the trimmed text after the colon. Skips lines without a colon; the first of two equal keys wins. */
export function parseFields(text: string): Map<string, string> {
  const fields = new Map<string, string>()
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const key = line.slice(0, colon)
    if (!fields.has(key)) fields.set(key, line.slice(colon + 1).trim())
  }
  return fields
}

/** Bytes of a `1234 kB` value (the kernel's kB is a KiB, proc(5)); undefined when absent or malformed. */
export function bytesField(fields: ReadonlyMap<string, string>, key: string): number | undefined {
  const match = /^(\d{1,16}) kB$/.exec(fields.get(key) ?? '')
  return match === null ? undefined : safe(Number(match[1]) * 1024)
}

/** A non-negative decimal integer of at most 2^53-1; undefined for any other text. */
export function parseInteger(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? safe(Number(text)) : undefined
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined
}
