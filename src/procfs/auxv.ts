// /proc/<pid>/auxv: the page size and the clock tick rate of this kernel, which Node does not tell (getauxval(3)).

import type { Pid, ProcResult } from './read.ts'
import { PROC_ROOT, readProcBytes } from './read.ts'

export interface Auxv {
  readonly pageSizeBytes: number
  /** Unit of the times in stat.ts. */
  readonly ticksPerSecond: number
}

const AT_NULL = 0
const AT_PAGESZ = 6
const AT_CLKTCK = 17

/** `wordBytes` is the size of a pointer, 4 or 8. Undefined when one of the two entries is missing or 0. Little-endian,
 *  as every platform Node runs on under Linux except s390x is. */
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
  const value = parseAuxv(bytes.value, ['arm', 'ia32', 'mips', 'mipsel'].includes(process.arch) ? 4 : 8, BIG)
  return value === undefined
    ? { ok: false, reason: 'malformed', path: `${root}/${pid}/auxv` }
    : { ok: true, value }
}

const BIG = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0
