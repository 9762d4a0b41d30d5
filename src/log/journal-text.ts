// Formats log lines for journald's stream protocol: `<6>message key=value`, one entry per line, without a time, since the
// journal adds its own.

import { syslogPriority } from './levels.ts'
import { formatFields, parseRecord, printable } from './record.ts'

/** Below journald's LineMax (48 KiB, journald.conf(5)); journald splits longer lines into several entries. */
const MAX_ENTRY_BYTES = 40_960

/**
 * Text of one JSON log line, with a newline: the priority prefix of sd-daemon(3), the message, the fields as key=value.
 * Newlines in the text become `\n`, so that one line stays one entry. With `tagged` the stream belongs to one worker, so its
 * name is omitted; otherwise the text starts with `[worker]`.
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
