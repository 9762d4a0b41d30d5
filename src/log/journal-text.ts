// Log lines for journald's stream protocol: `<6>message key=value`, one entry per line. No time: the journal has its own.

import { syslogPriority } from './levels.ts'
import { formatFields, parseRecord, printable } from './record.ts'

/** Below journald's LineMax (48 KiB, journald.conf(5)), which would split the entry. */
const MAX_ENTRY_BYTES = 40_960

/**
 * Text of one JSON log line, with newline: the priority prefix of sd-daemon(3), the message, the fields as key=value.
 * Newlines become `\n` in the text, so that one line stays one entry. `tagged`: the stream belongs to this worker alone, so the worker is not
 * repeated; otherwise it stands in front as `[worker]`.
 */
export function formatJournal(line: string, tagged: boolean): string {
  const record = parseRecord(line)
  const fields =
    record.stack === undefined ? record.fields : [...record.fields, ['err.stack', record.stack] as const]
  const parts = [
    tagged || record.worker === undefined ? '' : `[${record.worker}]`,
    record.message.replaceAll('\n', String.raw`\n`),
    formatFields(fields),
  ]
  const text = printable(parts.filter((part) => part !== '').join(' '))
  return `<${syslogPriority(record.level)}>${limit(text)}\n`
}

function limit(text: string): string {
  if (text.length * 3 <= MAX_ENTRY_BYTES) return text
  const bytes = Buffer.from(text)
  if (bytes.length <= MAX_ENTRY_BYTES) return text
  return `${bytes.toString('utf8', 0, MAX_ENTRY_BYTES).replace(/\uFFFD+$/, '')}…[cut ${bytes.length - MAX_ENTRY_BYTES} bytes]`
}
