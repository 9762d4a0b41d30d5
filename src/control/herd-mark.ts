// A mark that this process hosts workers of a herd, for others of this host that have another run directory and so do
// not see its socket: a unit and the shell of an operator, say. It is an abstract socket, which the kernel frees with the
// process however that ends. Its name is made of the config file and of the state file, so that who shares either finds
// it in /proc/net/unix; asked, it says where the control socket is. It shows nothing else: anybody may connect to it.
//
// Abstract names belong to a network namespace: units with a network of their own do not see each other's.

import { readFileSync, realpathSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'

export interface MarkOptions {
  /** Absolute path of the config file. */
  readonly configFile: string
  readonly herd: string
  /** <statedir>/<herd>/<label>: two processes with the same one would write the same files. */
  readonly stateStem: string
  readonly label: string
  /** The own control socket, listening already. */
  readonly socketPath: string
}

/** What another process of the herd says of itself; without `socketPath` when it did not answer within a second. */
export interface Sibling {
  readonly sameState: boolean
  readonly pid?: number
  readonly label?: string
  readonly socketPath?: string
}

const ANSWER_MS = 1000
/** Most that are asked, and most characters of an answer. */
const MAX_SIBLINGS = 64
const MAX_ANSWER = 1024

/** Sets the mark, which lasts as long as the process, and returns the others that share the config or the state file. Where
 *  one has the same of both the mark cannot be set: that one is among them. */
export async function markHerd(options: MarkOptions): Promise<readonly Sibling[]> {
  const config = digest(`${resolvedPath(options.configFile)}\0${options.herd}`, CONFIG_DIGITS)
  const { stateStem, label, socketPath } = options
  const state = digest(join(resolvedPath(dirname(stateStem)), basename(stateStem)), STATE_DIGITS)
  const name = `byre/${config}/${state}`
  const answer = JSON.stringify({ pid: process.pid, label, socketPath })
  for (let attempt = 1; ; attempt++) {
    const set = await listen(name, answer)
    const others = namesInUse().filter((other) => other.includes(config) || other.endsWith(state))
    const asked = others.filter((other) => other !== name || !set).slice(0, MAX_SIBLINGS)
    const siblings = await Promise.all(asked.map((other) => ask(other, other.endsWith(state))))
    const live = siblings.filter((sibling) => sibling !== undefined)
    // Who had the name may just have ended.
    if (set || live.some(({ sameState }) => sameState) || attempt === ATTEMPTS) return live
  }
}

const ATTEMPTS = 3

// Together 107 bytes, all that a name may have: some versions of Node pad a shorter one with NULs, which makes it another.
const CONFIG_DIGITS = 50
const STATE_DIGITS = 51

/** FNV-1a with a seed for each 32 bits: two herds must not meet by chance. node:crypto would cost each supervisor memory. */
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

/** Without links where the file is there; two spellings of what is not there are two. */
function resolvedPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** False when another process has the name. */
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

/** The marks of this network namespace. None where /proc cannot be read. */
function namesInUse(): string[] {
  try {
    const found = readFileSync('/proc/net/unix', 'latin1').matchAll(/ @(byre\/[0-9a-f]{50}\/[0-9a-f]{51})$/gm)
    return [...new Set(Array.from(found, (match) => match[1]!))]
  } catch {
    return []
  }
}

/** Undefined when nobody is there any more. */
async function ask(name: string, sameState: boolean): Promise<Sibling | undefined> {
  const answer = await answerOf(name)
  if (answer === undefined) return undefined
  try {
    const { pid, label, socketPath } = JSON.parse(answer) as Record<string, unknown>
    if (typeof pid === 'number' && typeof label === 'string' && typeof socketPath === 'string')
      return { sameState, pid, label, socketPath }
  } catch {
    // it is too busy to answer, or not byre's: the caller says so
  }
  return { sameState }
}

/** What it said within a second; undefined when nobody listens. */
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
