// Marks this process as a host of a herd's workers, for processes on this machine that have a different run directory and so
// cannot see its socket (a unit and an operator's shell). The mark is an abstract socket, which the kernel frees when the process
// ends, however it ends. Its name is derived from the config file and the state file, so that a process that shares either finds
// it in /proc/net/unix. It answers with the path of the control socket and nothing else, because any user may connect to it. A
// file apart from live-elsewhere.ts, which most starts do not load.
//
// Abstract names belong to a network namespace: units with separate networks do not see each other's.

import { readFileSync, realpathSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'

export interface MarkOptions {
  /** Absolute path of the config file. */
  readonly configFile: string
  readonly herd: string
  /** <statedir>/<herd>/<label>: two processes with the same value would write the same files. */
  readonly stateStem: string
  readonly label: string
  /** This process's control socket, listening already. */
  readonly socketPath: string
}

/** Another process of the herd, as reported by itself; only `sameState` when it did not answer within a second. */
export interface Sibling {
  readonly sameState: boolean
  readonly pid?: number
  readonly label?: string
  readonly socketPath?: string
}

const ANSWER_MS = 1000
/** Maximum number of siblings queried, and of characters in an answer. */
const MAX_SIBLINGS = 64
const MAX_ANSWER = 1024

/** Sets the mark, which lasts as long as the process, and returns the processes that share the config or the state file. When
 *  one of them shares both, the mark cannot be set, and that process is among the result. */
export async function markHerd(options: MarkOptions): Promise<readonly Sibling[]> {
  const config = digest(`${resolvedPath(options.configFile)}\0${options.herd}`, CONFIG_DIGITS)
  const { stateStem, label, socketPath } = options
  const state = digest(join(resolvedPath(dirname(stateStem)), basename(stateStem)), STATE_DIGITS)
  const name = `byre/${config}/${state}`
  const answer = JSON.stringify({ pid: process.pid, label, socketPath })
  for (let attempt = 1; ; attempt++) {
    const set = await listen(name, answer)
    const others = namesInUse().filter((other) => other.includes(config) || other.endsWith(state))
    const queried = others.filter((other) => other !== name || !set).slice(0, MAX_SIBLINGS)
    const siblings = await Promise.all(queried.map((other) => query(other, other.endsWith(state))))
    const live = siblings.filter((sibling) => sibling !== undefined)
    // The process that had the name may just have ended.
    if (set || live.some(({ sameState }) => sameState) || attempt === ATTEMPTS) return live
  }
}

const ATTEMPTS = 3

// The name then has 107 bytes, the maximum: some versions of Node pad a shorter one with NULs, which makes a different name.
const CONFIG_DIGITS = 50
const STATE_DIGITS = 51

/** FNV-1a with a different seed for each 32 bits, so that names do not collide. node:crypto would cost every supervisor memory. */
function digest(text: string, digits: number): string {
  let hex = ''
  for (let seed = 1; hex.length < digits; seed++) {
    let hash = Math.imul(0x811c9dc5, seed * 2 + 1)
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
    hex += ((hash ^ (hash >>> 13)) >>> 0).toString(16).padStart(8, '0')
  }
  return hex.slice(0, digits)
}

/** `path` without symbolic links; unchanged when the file does not exist. */
function resolvedPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** Returns false when another process has the name. */
function listen(name: string, answer: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.end(answer)
    })
    server.maxConnections = MAX_SIBLINGS
    server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen(`\0${name}`, () => resolve(server.unref() !== undefined))
  })
}

/** The marks of this network namespace; none when /proc cannot be read. */
function namesInUse(): string[] {
  try {
    const found = readFileSync('/proc/net/unix', 'latin1').matchAll(/ @(byre\/[0-9a-f]{50}\/[0-9a-f]{51})$/gm)
    return [...new Set(Array.from(found, (match) => match[1]!))]
  } catch {
    return []
  }
}

/** Returns undefined when the process has ended. */
async function query(name: string, sameState: boolean): Promise<Sibling | undefined> {
  const answer = await answerOf(name)
  if (answer === undefined) return undefined
  try {
    const { pid, label, socketPath } = JSON.parse(answer) as Record<string, unknown>
    if (typeof pid === 'number' && typeof label === 'string' && typeof socketPath === 'string')
      return { sameState, pid, label, socketPath }
  } catch {
    // too busy to answer, or not byre's socket: the caller reports it
  }
  return { sameState }
}

/** The answer received within a second; undefined when nothing listens. */
function answerOf(name: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let text = ''
    let gone = false
    const socket = connect(`\0${name}`)
    socket.setTimeout(ANSWER_MS, () => socket.destroy())
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      if (text.length > MAX_ANSWER) socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => (gone = error.code === 'ECONNREFUSED'))
    socket.on('close', () => resolve(gone ? undefined : text))
  })
}
