// /proc/<pid>/auxv: the kernel's page size and clock tick rate, which Node does not expose (getauxval(3)).

import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProcBytes } from './read.ts'

export interface Auxv {
  readonly pageSizeBytes: number
  /** Clock ticks per second: the unit of the times in stat.ts. */
  readonly ticksPerSecond: number
}

const AT_NULL = 0
const AT_PAGESZ = 6
const AT_CLKTCK = 17

/** `wordBytes` is the size of a pointer. Undefined when one of the two entries is missing or 0. Little-endian by default:
 *  of the Linux platforms Node supports, only s390x is big-endian. */
export function parseAuxv(bytes: Buffer, wordBytes: 4 | 8, bigEndian = false): Auxv | undefined {
  const word = (at: number): number => {
    if (wordBytes === 4) return bigEndian ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)
    return Number(bigEndian ? bytes.readBigUInt64BE(at) : bytes.readBigUInt64LE(at))
  }
  const entries = new Map<number, number>()
  for (let at = 0; at + 2 * wordBytes <= bytes.length; at += 2 * wordBytes) {
    const type = word(at)
    if (type === AT_NULL) break
    entries.set(type, word(at + wordBytes))
  }
  const pageSizeBytes = entries.get(AT_PAGESZ) ?? 0
  const ticksPerSecond = entries.get(AT_CLKTCK) ?? 0
  return pageSizeBytes > 0 && ticksPerSecond > 0 ? { pageSizeBytes, ticksPerSecond } : undefined
}

export function readAuxv(pid: Pid = 'self', root: string = PROC_ROOT): ProcResult<Auxv> {
  const bytes = readProcBytes(pid, 'auxv', root)
  if (!bytes.ok) return bytes
  const value = parseAuxv(
    bytes.value,
    ['arm', 'ia32', 'mips', 'mipsel'].includes(process.arch) ? 4 : 8,
    IS_BIG_ENDIAN,
  )
  return value === undefined
    ? { ok: false, reason: 'malformed', path: `${root}/${pid}/auxv` }
    : { ok: true, value }
}

const IS_BIG_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0
