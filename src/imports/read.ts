// Reads the imports of a herd's modules in a child process, which ends with its answer: parsers and syntax trees take tens of
// megabytes that the herd would keep. Loaded with the first question.

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { isRecord } from '../base/check.ts'
import { systemClock } from '../base/clock.ts'
import { ByreError } from '../base/errors.ts'
import { formatDurationMs } from '../base/durations.ts'
import { ownFile } from '../base/own-files.ts'
import type { ImportsAnswer, ImportsRequest } from './protocol.ts'
import { unpackTable } from './table.ts'
import type { ReachTable } from './table.ts'

/** What a reading found, beside the table. */
export type ImportsFigures = Pick<ImportsAnswer, 'files' | 'read' | 'unread' | 'notKept' | 'ms'>

const ENTRY = fileURLToPath(ownFile('imports/child.js'))
const LIMIT_MS = 30_000
const ANSWER_MAX_BYTES = 16_777_216
const ERRORS_MAX_LENGTH = 2000
/** Flags of this process that decide which file a specifier names. */
const KEPT_FLAGS = /^(?:--conditions=|--preserve-symlinks$|--preserve-symlinks-main$)/
const FLAGS = ['--experimental-import-meta-resolve', '--no-warnings', '--max-old-space-size=512']

/** Rejects with BYRE_IMPORTS_UNREAD. `signal` ends the child. */
export async function readImports(
  request: ImportsRequest,
  signal: AbortSignal,
): Promise<{ readonly table: ReachTable; readonly figures: ImportsFigures }> {
  const answer = parseAnswer(await runChild(JSON.stringify(request), signal))
  const { hashes, setOf, sets, ...figures } = answer
  return { table: unpackTable({ hashes, setOf, sets }), figures }
}

function runChild(input: string, signal: AbortSignal): Promise<string> {
  const { NODE_OPTIONS: _, ...env } = process.env
  const child = spawn(process.execPath, [...FLAGS, ...keptFlags(), ENTRY], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  })
  // Not spawn's own timeout: Node 20 keeps it when the child could not be started.
  const timer = systemClock.setTimer(LIMIT_MS, () => child.kill('SIGKILL'))
  const ended = new Promise<string>((resolve, reject) => {
    let answer = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      answer += text
      if (answer.length > ANSWER_MAX_BYTES) child.kill('SIGKILL')
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-ERRORS_MAX_LENGTH)
    })
    child.on('error', (error) => reject(unread(error.message)))
    child.on('close', (code, killedBy) => {
      if (code === 0) return resolve(answer)
      const how = killedBy === null ? `ended with code ${code}` : `was ended by ${killedBy}`
      const limits = `it may take ${formatDurationMs(LIMIT_MS)} and answer ${ANSWER_MAX_BYTES} bytes`
      reject(unread(`the child ${how} (${limits})${errors === '' ? '' : `: ${errors.trim()}`}`))
    })
    child.stdin.on('error', () => {}) // it has ended: reported above
    child.stdin.end(input)
  })
  return ended.finally(() => timer.cancel())
}

/** `-C x` and `--conditions x` are two arguments. */
function keptFlags(): string[] {
  const { execArgv } = process
  return execArgv.flatMap((flag, i) => {
    if (flag === '-C' || flag === '--conditions') return [`--conditions=${execArgv[i + 1] ?? ''}`]
    return KEPT_FLAGS.test(flag) ? [flag] : []
  })
}

function parseAnswer(text: string): ImportsAnswer {
  try {
    const answer: unknown = JSON.parse(text)
    if (isRecord(answer) && typeof answer['hashes'] === 'string') return answer as unknown as ImportsAnswer
  } catch {}
  throw unread('the child wrote something else than its answer')
}

function unread(why: string): ByreError {
  return new ByreError(
    'BYRE_IMPORTS_UNREAD',
    `Cannot read the imports of the workers' modules: ${why}. Until they are read, errors are charged by entry module and async context.`,
  )
}
