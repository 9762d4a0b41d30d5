// Who holds the loop, from the stack of the paused loop, its async context and the worker last entered.

import { modulePath } from '../../base/module-path.ts'
import { workersAt } from '../../ownership/stack.ts'
import type { StackOwners } from '../../ownership/stack.ts'

/** A frame of the paused loop, innermost first in a list; lines count from 1. */
export interface Frame {
  readonly function: string
  readonly url: string
  readonly line: number
}

export interface Sighting {
  readonly frames: readonly Frame[]
  /** The worker in whose async context the code runs. */
  readonly context: string | undefined
  /** The worker the loop went into last. */
  readonly entered: string | undefined
}

/** What the name rests on: it is alone in its loop, or best first. */
export type NamedBy = 'placement' | 'stack' | 'context' | 'entered'

export interface Culprit {
  readonly worker: string
  readonly by: NamedBy
}

/** The place the loop is held at: the innermost frame that is neither Node's nor byre's. */
export interface Place {
  readonly function: string
  readonly file: string
  readonly line: number
  /** The function of Node it called there. */
  readonly call?: string
}

/**
 * As a stray error is charged: the innermost frame that is the entry module of exactly one worker; else the async
 * context; else the worker last entered. Undefined when nothing names anybody, or the code is byre's own.
 */
export function nameCulprit(sighting: Sighting, owners: StackOwners): Culprit | undefined {
  const paths = sighting.frames.map((frame) => modulePath(frame.url))
  for (const path of paths) {
    const [worker, ...others] = path === undefined ? [] : workersAt(path, owners)
    if (worker !== undefined && others.length === 0) return { worker, by: 'stack' }
  }
  if (sighting.context !== undefined) return { worker: sighting.context, by: 'context' }
  const first = paths.find((path) => path !== undefined)
  if (first?.startsWith(owners.ownRoot) === true || sighting.entered === undefined) return undefined
  return { worker: sighting.entered, by: 'entered' }
}

/** Undefined when every frame is Node's or byre's. */
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

const SHOWN_MAX = 10

/** The innermost frames as text, for the log. */
export function showFrames(frames: readonly Frame[]): string[] {
  return frames
    .slice(0, SHOWN_MAX)
    .map(
      (frame) => `${frame.function || '(anonymous)'} (${modulePath(frame.url) ?? frame.url}:${frame.line})`,
    )
}
