// Private memory of the supervisor, after a collection every half minute.
import { createInterface } from 'node:readline'

const EVERY_MS = 30_000
/** The first comes this soon, for short runs. */
const FIRST_MS = 1000

/** `channel` as of preload/collect.mjs. `faultsSoFar` is what growth is told over: no clock, which goes on while the machine
 *  is held. */
export function startGauge(channel, faultsSoFar) {
  const lines = createInterface({ input: channel })[Symbol.asyncIterator]()
  const readings = []
  let timer
  const read = async () => {
    channel.write('collect\n')
    const { anonBytes, reason } = JSON.parse((await lines.next()).value)
    if (anonBytes === undefined) throw new Error(`Cannot read the memory of the supervisor: ${reason}`)
    readings.push({ at: faultsSoFar(), anonBytes })
  }
  const again = async () => {
    await read()
    if (timer !== undefined) timer = setTimeout(() => void again(), EVERY_MS)
  }
  timer = setTimeout(() => void again(), FIRST_MS)
  return {
    between: (from, to) => readings.filter(({ at }) => at >= from && at < to),
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}

/** Least squares, over so many faults; undefined with fewer than two points. */
export function growth(points, faults) {
  if (points.length < 2) return undefined
  const meanX = points.reduce((sum, p) => sum + p.at, 0) / points.length
  const meanY = points.reduce((sum, p) => sum + p.anonBytes, 0) / points.length
  const over = points.reduce((sum, p) => sum + (p.at - meanX) * (p.anonBytes - meanY), 0)
  return (over / points.reduce((sum, p) => sum + (p.at - meanX) ** 2, 0)) * faults
}
