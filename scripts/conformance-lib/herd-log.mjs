// Reads the JSON log of a supervisor while programs run in it.
import { createInterface } from 'node:readline'
import { noteLine } from './verdict.mjs'

const WARN_LEVEL = 40
const TAIL_CHARS = 3000
const LINE_CHARS = 200
const KEPT_WARNINGS = 3

/** Lines of a followed worker go into its record, warnings about the neighbour into the records of all of them. */
export function followLog(child) {
  const followed = new Map()
  const warnings = []
  let tail = ''
  const keep = (text) => (tail = (tail + text).slice(-TAIL_CHARS))
  child.stderr.setEncoding('utf8').on('data', keep)
  let up
  const ready = new Promise((resolve) => (up = resolve))

  function take(line) {
    if (line.event === 'ready' || (line.worker === 'neighbour' && line.to === 'running')) up()
    const target = followed.get(line.worker)
    if (target !== undefined) return target.take(line)
    if (!(line.level >= WARN_LEVEL)) return
    const text = `${line.event ?? 'log'}: ${line.msg}`.slice(0, LINE_CHARS)
    warnings.push(text)
    if (warnings.length > KEPT_WARNINGS) warnings.shift()
    if (line.worker === 'neighbour') for (const { record } of followed.values()) record.neighbour.push(text)
  }

  createInterface({ input: child.stdout }).on('line', (text) => {
    let line
    try {
      line = JSON.parse(text)
    } catch {
      keep(`${text}\n`)
      return
    }
    take(line)
  })
  return {
    /** Resolves when the neighbour runs. */
    ready,
    /** Gathers the worker's lines in `record`; `next(test)` resolves with the first line from now that fits. */
    follow(name, record) {
      const follower = newFollower(record)
      followed.set(name, follower)
      return follower
    },
    unfollow: (name) => followed.delete(name),
    /** The last warnings, and the end of what was not JSON. */
    lastWords: () => `${warnings.join(' | ')} ${tail.slice(-500)}`.trim(),
  }
}

function newFollower(record) {
  const waiting = new Set()
  return {
    record,
    next: (test) => new Promise((resolve) => waiting.add({ test, resolve })),
    take(line) {
      noteLine(record, line)
      for (const waiter of waiting) {
        if (!waiter.test(line)) continue
        waiting.delete(waiter)
        waiter.resolve(line)
      }
    },
  }
}
