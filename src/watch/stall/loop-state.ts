// Whether an event loop rests, seen without waking it: /proc/<pid>/task/<tid>/syscall (proc_pid_syscall(5)) names the
// system call a thread is blocked in and its arguments. A loop at rest is in epoll_wait on its own descriptor; execSync
// waits in an epoll as well, on another one, so which is the loop's own must be learned.

import { closeSync, openSync, readdirSync, readlinkSync, readSync } from 'node:fs'

/** epoll_wait, epoll_pwait, epoll_pwait2 by architecture (asm/unistd.h). */
const EPOLL: Readonly<Record<string, readonly string[]>> = {
  x64: ['232', '281', '441'],
  arm64: ['22', '441'],
}

/** The epoll a thread waits in, as `<descriptor>` in the kernel's hexadecimal; undefined when it does anything else. */
export function epollOf(text: string, arch: string = process.arch): string | undefined {
  const [call = '', descriptor] = text.split(' ', 2)
  return EPOLL[arch]?.includes(call) === true ? descriptor : undefined
}

/** An answer that came this fast was given by a loop that rested when it was asked. */
const PROMPT_MS = 40
/** As often must the same descriptor have been seen before a prompt answer. */
const PROOFS = 3

/** Learns which epoll is the loop's own. Pure. */
export class RestingPlace {
  readonly #among: ReadonlySet<string>
  #known: string | undefined
  #candidate: string | undefined
  #proofs = 0

  /** `among`: the epolls that were open while the loop was known to be in no execSync; the first it waits in is its own. */
  constructor(among: Iterable<string> = []) {
    this.#among = new Set(among)
  }

  /** The loop was asked while it waited in `epoll` and took `answeredInMs`. */
  learn(epoll: string | undefined, answeredInMs: number): void {
    if (this.#known !== undefined || epoll === undefined) return
    if (answeredInMs > PROMPT_MS || epoll !== this.#candidate) this.#proofs = 0
    this.#candidate = epoll
    if (answeredInMs <= PROMPT_MS && ++this.#proofs >= PROOFS) this.#known = epoll
  }

  isRest(epoll: string | undefined): boolean {
    if (epoll === undefined) return false
    if (this.#known === undefined && this.#among.has(epoll)) this.#known = epoll
    return epoll === this.#known
  }
}

/** Reads what a thread waits in. */
export type ReadEpoll = () => string | undefined

/** Nine numbers of at most 18 characters. */
const LINE_BYTES = 256

/** Undefined where the kernel does not show it (no /proc, a hardened kernel, an unknown architecture). */
export function openEpollReader(pid: number | 'self', tid: number): ReadEpoll | undefined {
  const path = `/proc/${pid}/task/${tid}/syscall`
  if (EPOLL[process.arch] === undefined) return undefined
  // One buffer for all looks: readFileSync takes 64 KiB for each file of unknown size, and V8 would collect them with all
  // its threads.
  const buffer = Buffer.alloc(LINE_BYTES)
  const read = (): string => {
    const file = openSync(path, 'r')
    try {
      return buffer.toString('latin1', 0, readSync(file, buffer, 0, LINE_BYTES, 0))
    } finally {
      closeSync(file)
    }
  }
  try {
    read()
  } catch {
    return undefined
  }
  return () => {
    try {
      return epollOf(read())
    } catch {
      return undefined // asked instead
    }
  }
}

/** Every epoll this process has open, as `epollOf` gives them. Called from the loop's own code, so none is of an execSync. */
export function openEpolls(): string[] {
  try {
    return readdirSync('/proc/self/fd')
      .filter(isEpoll)
      .map((fd) => `0x${Number(fd).toString(16)}`)
  } catch {
    return [] // no /proc: the loop is asked each time
  }
}

function isEpoll(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === 'anon_inode:[eventpoll]'
  } catch {
    return false // the descriptor of the listing itself
  }
}
