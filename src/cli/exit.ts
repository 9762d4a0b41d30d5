// Maps errors to exit codes and to messages for stderr.

import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import type { ExitCode } from '../base/exit-codes.ts'

export interface Exit {
  readonly code: ExitCode
  /** The message for stderr, with a final newline. */
  readonly text: string
}

const CODES: Partial<Record<ErrorCode, ExitCode>> = {
  BYRE_ARGUMENT_INVALID: EXIT.usage,
  BYRE_CONFIG_INVALID: EXIT.config,
  BYRE_CONFIG_NOT_FOUND: EXIT.config,
  BYRE_CONTROL_NOT_FOUND: EXIT.unreachable,
  BYRE_CONTROL_UNREACHABLE: EXIT.unreachable,
  BYRE_INTERNAL: EXIT.internal,
  BYRE_SWAP_UNITS: EXIT.unreachable,
  BYRE_USAGE: EXIT.usage,
  BYRE_WORKER_UNKNOWN: EXIT.unreachable,
}

/** The exit code of a ByreError is that of its error code, by default 1. A system error (ENOSPC, EACCES) exits with 1. Any
 *  other error is a bug in byre: exit code 70, and the message has the stack. */
export function describeExit(thrown: unknown): Exit {
  if (thrown instanceof ByreError) {
    const code = exitCodeOf(thrown.code)
    const stack = code === EXIT.internal ? `${thrown.stack ?? ''}\n` : ''
    return { code, text: `byre: ${thrown.message}\n${stack}` }
  }
  const { message, stack } = describeThrown(thrown)
  const { syscall } = (thrown ?? {}) as { syscall?: unknown }
  if (typeof syscall === 'string') return { code: EXIT.failed, text: `byre: ${message}\n` }
  return {
    code: EXIT.internal,
    text: `byre: internal error. This is a bug in byre, please report it: ${stack ?? message}\n`,
  }
}

/** Returns the exit code of an error code, which may come from the control socket of another version. */
export function exitCodeOf(code: string): ExitCode {
  return CODES[code as ErrorCode] ?? EXIT.failed
}
