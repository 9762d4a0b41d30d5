// Private memory of the supervisor, read from outside ten times a second: what each collection leaves of it is the lowest
// reading of a stretch of time. Half a second after one it has risen by a megabyte again.
import { readSmapsRollup } from '../../../dist/procfs/smaps-rollup.js'

const EVERY_MS = 100

/** V8 and byre collect everything at least once in this time: byre 60 s after the last time, when it is quiet. */
export const STRETCH_MS = 75_000

export function startGauge(pid) {
  const startedAt = performance.now()
  const readings = []
  const read = () => {
    const rollup = readSmapsRollup(pid)
    if (rollup.ok) readings.push({ atMs: performance.now() - startedAt, anonBytes: rollup.value.anonBytes })
  }
  const timer = setInterval(read, EVERY_MS)
  return {
    nowMs: () => performance.now() - startedAt,
    /** The lowest reading of each whole stretch between the two times. */
    floors(fromMs, toMs) {
      const floors = []
      for (let at = fromMs; at + STRETCH_MS <= toMs; at += STRETCH_MS) {
        const within = readings.filter(({ atMs }) => atMs >= at && atMs < at + STRETCH_MS)
        if (within.length > 0) floors.push(within.reduce((a, b) => (b.anonBytes < a.anonBytes ? b : a)))
      }
      return floors
    },
    stop: () => clearInterval(timer),
  }
}

/** Least squares, over `overMs`; undefined with fewer than two points. */
export function growth(points, overMs) {
  if (points.length < 2) return undefined
  const meanX = points.reduce((sum, p) => sum + p.atMs, 0) / points.length
  const meanY = points.reduce((sum, p) => sum + p.anonBytes, 0) / points.length
  const over = points.reduce((sum, p) => sum + (p.atMs - meanX) * (p.anonBytes - meanY), 0)
  return (over / points.reduce((sum, p) => sum + (p.atMs - meanX) ** 2, 0)) * overMs
}
