// The one place where an error becomes an exit code and a text on stderr.

import { ByreError, describeThrown } from '../base/errors.ts'
import type { ErrorCode } from '../base/errors.ts'
import { EXIT } from '../base/exit-codes.ts'
import type { ExitCode } from '../base/exit-codes.ts'

export interface Exit {
  readonly code: ExitCode
  /** For stderr, with its newline. */
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

/** A ByreError by its code, else 1; an error of the system (ENOSPC, EACCES) 1; anything else is a mistake in byre: 70, with its stack. */
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
    text: `byre: a mistake in byre itself, please report it: ${stack ?? message}\n`,
  }
}

/** The exit code of an error code, also of one that came over the control socket. */
export function exitCodeOf(code: string): ExitCode {
  return CODES[code as ErrorCode] ?? EXIT.failed
}
