// Identifies what blocks a loop: the worker, from the stack of the paused loop, its async context and the worker entered last;
// the place in its code; and the log text for both. Pure.

import { formatDurationMs } from '../../base/durations.ts'
import { modulePath } from '../../base/module-path.ts'
import { workerAt } from '../../ownership/stack.ts'
import type { StackOwners } from '../../ownership/stack.ts'
import type { Stall } from './protocol.ts'

/** A frame of the paused loop. Lists of frames start with the innermost; lines count from 1. */
export interface Frame {
  readonly function: string
  readonly url: string
  readonly line: number
}

export interface Sighting {
  readonly frames: readonly Frame[]
  /** The worker in whose async context the code runs. */
  readonly context: string | undefined
  /** The worker the loop entered last. */
  readonly entered: string | undefined
}

/** The evidence for the name: the worker is alone in its loop; or, in order of confidence, stack, context, entered. */
export type NamedBy = 'placement' | 'stack' | 'context' | 'entered'

export interface Culprit {
  readonly worker: string
  readonly by: NamedBy
}

/** Where the loop is blocked: the innermost frame that is neither Node's nor byre's. */
export interface Place {
  readonly function: string
  readonly file: string
  readonly line: number
  /** The function of Node that was called there. */
  readonly call?: string
}

/**
 * Uses the rule for stray errors: the innermost frame in code that one worker alone owns; otherwise the async context;
 * otherwise the worker entered last. Undefined when there is no evidence, or when the code is byre's.
 */
export function nameCulprit(sighting: Sighting, owners: StackOwners): Culprit | undefined {
  const paths = sighting.frames.map((frame) => modulePath(frame.url))
  for (const path of paths) {
    const worker = path === undefined ? undefined : workerAt(path, owners)
    if (worker !== undefined) return { worker, by: 'stack' }
  }
  if (sighting.context !== undefined) return { worker: sighting.context, by: 'context' }
  const first = paths.find((path) => path !== undefined)
  if (first?.startsWith(owners.ownRoot) === true || sighting.entered === undefined) return undefined
  return { worker: sighting.entered, by: 'entered' }
}

/** Returns undefined when every frame is Node's or byre's. */
export function placeOf(frames: readonly Frame[], ownRoot: string): Place | undefined {
  for (const [i, frame] of frames.entries()) {
    const file = modulePath(frame.url)
    if (file === undefined || file.startsWith(ownRoot)) continue
    const called = frames[i - 1]
    return {
      function: frame.function === '' ? '(anonymous)' : frame.function,
      file,
      line: frame.line,
      ...(called?.url.startsWith('node:') === true && called.function !== ''
        ? { call: called.function }
        : {}),
    }
  }
  return undefined
}

const FRAMES_SHOWN = 10

/** The innermost frames as text, for the log. */
export function framesText(frames: readonly Frame[]): string[] {
  return frames
    .slice(0, FRAMES_SHOWN)
    .map(
      (frame) => `${frame.function || '(anonymous)'} (${modulePath(frame.url) ?? frame.url}:${frame.line})`,
    )
}

/** The log text of a stall. @example 'worker reports blocks the loop for 1.021s: sum (/srv/shop/totals.js:12)' */
export function stallText(stall: Stall, loopName: string): string {
  const duration = formatDurationMs(stall.blockedMs)
  if (stall.kind === 'native' && stall.worker === undefined)
    return `blocked in native code for ${duration}; the worker is known when that code returns`
  if (stall.kind === 'native' && stall.by === 'entered')
    return `blocked in native code for ${duration}; worker last entered: ${stall.worker ?? 'none'}`
  const how = stall.kind === 'native' ? ' in native code' : ''
  return `${culpritText(stall)} blocks ${loopName} for ${duration}${how}${placeText(stall)}`
}

/** @example 'worker reports' */
export function culpritText({ worker }: Stall): string {
  return worker === undefined ? 'code of an unknown worker' : `worker ${worker}`
}

/** @example ': sum (/srv/shop/totals.js:12)'; empty when the place is not known. */
export function placeText(stall: Stall): string {
  if (stall.file === undefined) return ''
  const call = stall.call === undefined ? '' : `${stall.call} called by `
  return `: ${call}${stall.function} (${stall.file}:${stall.line})`
}
