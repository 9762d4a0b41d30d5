// The `Key:   value kB` lines that meminfo, status and smaps_rollup share.

/** Values by key, in text as they stand behind the colon. A line without a colon is skipped; the first of two equal keys wins. */
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

/** Bytes of a `1234 kB` value (the kernel's kB are KiB, proc(5)); undefined when absent or of another form. */
export function bytesField(fields: ReadonlyMap<string, string>, key: string): number | undefined {
  const match = /^(\d{1,16}) kB$/.exec(fields.get(key) ?? '')
  return match === null ? undefined : safe(Number(match[1]) * 1024)
}

/** Digits only, at most 2^53-1; anything else is undefined. */
export function parseInteger(text: string): number | undefined {
  return /^\d{1,16}$/.test(text) ? safe(Number(text)) : undefined
}

function safe(value: number): number | undefined {
  return Number.isSafeInteger(value) ? value : undefined
}
