// Makes a server listen at a socket path that at most one process may own, even if other processes start at the same moment or a
// crash left a socket file behind.
//
// Connect, unlink, listen is not safe: between these steps another process does the same, and the second one unlinks the live
// socket of the first. Two facts make it safe without a lock: link(2) fails when the name exists, and the inode of a dead socket
// stays dead forever.
//   1. Listen under a temporary name, then link() that to the path: a client that sees the path finds a live socket.
//   2. If the path exists, connect. Live: refuse. Dead: link() it to a name derived from its inode number. Exactly one process
//      succeeds, and only that one may unlink the path; the second name prevents reuse of the inode number.
//   3. Connect again (the path may have been replaced before the claim), unlink it, drop the claim, go to 1.

import { linkSync, lstatSync, statSync, unlinkSync } from 'node:fs'
import type { Server } from 'node:net'
import { dirname, join } from 'node:path'
import { systemClock } from '../base/clock.ts'
import type { Clock } from '../base/clock.ts'
import { BIGINT } from '../base/stat.ts'
import { ByreError } from '../base/errors.ts'
import { checkSocketPath, ensureFolder } from '../base/places.ts'

export interface SocketClaim {
  /** Removes the socket file if it is still this process's. Idempotent. */
  release(): void
}

/** Limit for another process that is removing the same dead socket, which takes microseconds. */
const CLAIM_WAIT_MS = 1000
const CLAIM_POLL_MS = 10
const OWNER_ANSWER_MS = 1000

/**
 * Makes `server` listen on `path` (mode 0600, its folder created 0700). Rejects with BYRE_SOCKET_IN_USE when a live process listens
 * there (`details.pid` if it answered), BYRE_SOCKET_PATH_TOO_LONG, or BYRE_ARGUMENT_INVALID when the path is not a socket or its
 * folder belongs to another user. After a rejection no file is left behind and the server is not listening.
 */
export async function claimSocket(
  server: Server,
  path: string,
  clock: Clock = systemClock,
): Promise<SocketClaim> {
  checkSocketPath(path)
  makeFolder(dirname(path))
  const temporary = await listenTemporarily(server, path)
  try {
    await linkWhenFree(temporary, path, clock)
    return claimOf(path, Number(lstatSync(path, BIGINT).ino))
  } catch (error) {
    await new Promise<void>((resolve) => server.close(() => resolve()))
    throw error
  } finally {
    unlinkIfThere(temporary)
  }
}

function claimOf(path: string, inode: number): SocketClaim {
  return {
    release() {
      if (inodeOf(path) === inode) unlinkIfThere(path)
    },
  }
}

async function linkWhenFree(temporary: string, path: string, clock: Clock): Promise<void> {
  const endAt = clock.monotonic() + CLAIM_WAIT_MS
  for (;;) {
    if (linkIfFree(temporary, path) === 'linked') return
    const inode = socketInode(path)
    if (inode === undefined) continue // removed meanwhile
    const { presence } = await import('./client.ts') // rarely needed: the path is almost always free
    if ((await presence(path)) === 'live') throw await inUse(path)
    const claim = `${path}.${inode}.dead`
    const claimed = linkIfFree(path, claim)
    if (claimed === 'linked') await removeDead(path, inode, claim)
    if (claimed !== 'taken') continue
    // Another process is removing it. If that process died meanwhile, its claim would stay forever.
    if (clock.monotonic() > endAt) unlinkIfThere(claim)
    await new Promise<void>((resolve) => void clock.setTimer(CLAIM_POLL_MS, resolve))
  }
}

/** The holder of the claim unlinks `path` if it is still that dead socket. */
async function removeDead(path: string, inode: number, claim: string): Promise<void> {
  try {
    if (inodeOf(claim) !== inode) return // the path changed before the claim
    const { presence } = await import('./client.ts')
    if ((await presence(path)) === 'dead' && inodeOf(path) === inode) unlinkIfThere(path)
  } finally {
    unlinkIfThere(claim)
  }
}

/** 'taken' when `to` exists. 'gone' when `from` is the path of a dead socket that another process has removed. */
function linkIfFree(from: string, to: string): 'linked' | 'taken' | 'gone' {
  try {
    linkSync(from, to)
    return 'linked'
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return 'taken'
    if (code === 'ENOENT' && to.startsWith(from)) return 'gone'
    throw error
  }
}

/** A short name in the same folder, never longer than a name like `a.sock`, so that 107 bytes stay 107 bytes. */
async function listenTemporarily(server: Server, path: string): Promise<string> {
  for (;;) {
    const name = `.${Math.floor(Math.random() * 36 ** 5).toString(36)}`
    const temporary = join(dirname(path), name)
    if (await tryListen(server, checkSocketPath(temporary))) return temporary
  }
}

/** Returns false when the name is taken. bind() happens inside listen(), synchronously, so the umask holds for it alone. */
function tryListen(server: Server, path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      server.removeListener('listening', onListening)
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    }
    const onListening = (): void => {
      server.removeListener('error', onError)
      resolve(true)
    }
    server.once('error', onError).once('listening', onListening)
    const before = process.umask(0o177)
    try {
      server.listen(path)
    } finally {
      process.umask(before)
    }
  })
}

function makeFolder(folder: string): void {
  ensureFolder(folder)
  const uid = process.geteuid?.() ?? 0
  const foreign = [folder, dirname(folder)].find((f) => ![uid, 0].includes(statSync(f).uid))
  // Another user may have created <tmpdir>/byre-<uid> first, and the owner of a folder can replace the sockets in it.
  if (foreign === undefined || uid === 0) return
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot create a control socket in '${folder}': '${foreign}' belongs to user ${statSync(foreign).uid}, not to ${uid}. ` +
      'Set XDG_RUNTIME_DIR or RUNTIME_DIRECTORY, or pass --socket.',
  )
}

/** Returns undefined when the path does not exist. Throws when it is not a socket, which byre must not replace. */
function socketInode(path: string): number | undefined {
  const stat = lstatSync(path, { ...BIGINT, throwIfNoEntry: false })
  if (stat === undefined) return undefined
  if (stat.isSocket()) return Number(stat.ino)
  throw new ByreError(
    'BYRE_ARGUMENT_INVALID',
    `Cannot listen on '${path}': it exists and is not a socket. Pass another --socket, or remove it.`,
  )
}

function inodeOf(path: string): number | undefined {
  const stat = lstatSync(path, { ...BIGINT, throwIfNoEntry: false })
  return stat === undefined ? undefined : Number(stat.ino)
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

async function inUse(path: string): Promise<ByreError> {
  const owner = await ownerOf(path)
  const who =
    owner === undefined
      ? 'a process that does not answer'
      : `pid ${owner.pid} (herd ${owner.herd}, group ${owner.group})`
  return new ByreError(
    'BYRE_SOCKET_IN_USE',
    `Cannot listen on the control socket '${path}': ${who} already does. Stop it first, or pass another --group or --socket.`,
    { details: { path, ...owner } },
  )
}

/** The live owner as reported by itself; undefined without a usable answer within 1 s. */
async function ownerOf(path: string): Promise<{ pid: number; herd: string; group: string } | undefined> {
  try {
    const { ask } = await import('./client.ts')
    const { body } = await ask(path, { method: 'GET', path: '/workers', timeoutMs: OWNER_ANSWER_MS })
    const { pid, herd, group } = JSON.parse(body) as Record<string, unknown>
    return Number.isInteger(pid)
      ? { pid: pid as number, herd: String(herd), group: String(group) }
      : undefined
  } catch {
    return undefined
  }
}
