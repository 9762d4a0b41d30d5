// Who runs a command.

import { userInfo } from 'node:os'

/** For the log of the supervisor. */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    return String(process.geteuid?.() ?? 'unknown') // a uid without an entry in passwd, as in containers
  }
}
