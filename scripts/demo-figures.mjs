// Figures for scripts/demo.mjs: reads the memory of process trees and formats results next to each other.

import { setTimeout as sleep } from 'node:timers/promises'
import { readProcessTable, selectTree } from '../build/src/measure/process-tree.js'
import { readMembersMemory } from '../build/src/measure/tree-memory.js'

export const READINGS = 5
const READING_GAP_MS = 100

/**
 * @typedef {{ processes: number, pssBytes: number, ussBytes: number, rssBytes: number, anonBytes: number }} Memory
 * @typedef {Object} Phase
 * @property {string} label
 * @property {Memory} memory  Medians of the readings.
 * @property {number} readyMs  From the first start until the last worker was ready.
 * @property {number} measuredAfterReadyMs
 * @property {number} relayConnections
 * @property {Record<string, number>} work  The amount of work that each worker reported.
 * @property {import('../demo/world.mjs').Facts} facts
 */

/**
 * Returns the median of five readings, 0.1 s apart, of the total memory of the process trees of `pids`.
 * @param {readonly number[]} pids
 * @param {AbortSignal} signal
 * @returns {Promise<Memory>}
 */
export async function measureTrees(pids, signal) {
  /** @type {Memory[]} */
  const readings = []
  while (readings.length < READINGS) {
    if (readings.length > 0) await sleep(READING_GAP_MS, undefined, { signal })
    const table = readProcessTable()
    const { count, unreadable, ...sums } = readMembersMemory(pids.flatMap((pid) => selectTree(table, pid)))
    if (unreadable.length > 0)
      throw new Error(`Cannot read the memory of ${unreadable.map(({ pid }) => pid).join(', ')}`)
    const { pssBytes, ussBytes, rssBytes, anonBytes } = sums
    readings.push({ processes: count, pssBytes, ussBytes, rssBytes, anonBytes })
  }
  /** @param {keyof Memory} key */
  const median = (key) => readings.map((one) => one[key]).sort((a, b) => a - b)[Math.floor(READINGS / 2)] ?? 0
  return {
    processes: median('processes'),
    pssBytes: median('pssBytes'),
    ussBytes: median('ussBytes'),
    rssBytes: median('rssBytes'),
    anonBytes: median('anonBytes'),
  }
}

/**
 * Formats two phases next to each other.
 * @param {string} title
 * @param {Phase} before
 * @param {Phase} after
 */
export function formatComparison(title, before, after) {
  /** @type {[string, (phase: Phase) => number, (value: number) => string][]} */
  const rows = [
    ['processes', (phase) => phase.memory.processes, String],
    ['PSS (can be summed)', (phase) => phase.memory.pssBytes, megabytes],
    ['private (Anonymous)', (phase) => phase.memory.anonBytes, megabytes],
    ['USS', (phase) => phase.memory.ussBytes, megabytes],
    ['RSS (counts shared pages each time)', (phase) => phase.memory.rssBytes, megabytes],
    ['all ready after', (phase) => phase.readyMs, seconds],
    ['connections to the relay', (phase) => phase.relayConnections, String],
  ]
  const lines = rows.map(([name, read, format]) => {
    const [a, b] = [read(before), read(after)]
    return `  ${name.padEnd(36)}${format(a).padStart(12)}${format(b).padStart(14)}${change(a, b).padStart(9)}`
  })
  const head = `${title.padEnd(38)}${before.label.padStart(12)}${after.label.padStart(14)}`
  return [head, ...lines].join('\n')
}

/**
 * Formats the work of each worker in columns.
 * @param {Phase} before
 * @param {Phase} after
 */
export function formatWork(before, after) {
  const cells = Object.keys(before.work).map(
    (name) =>
      `${name.padEnd(12)}${String(before.work[name]).padStart(5)} /${String(after.work[name] ?? 0).padStart(5)}`,
  )
  const lines = []
  for (let i = 0; i < cells.length; i += 3) lines.push(`  ${cells.slice(i, i + 3).join('    ')}`)
  return lines.join('\n')
}

/**
 * Formats the requests to the herd and their results, as counted from outside.
 * @param {import('../demo/world.mjs').Facts} before
 * @param {import('../demo/world.mjs').Facts} after
 */
export function formatFacts(before, after) {
  /** @type {[string, keyof import('../demo/world.mjs').Facts, keyof import('../demo/world.mjs').Facts][]} */
  const rows = [
    ['webhooks received, of orders placed', 'hooksReceived', 'ordersPlaced'],
    ['log lines forwarded, of those written', 'linesForwarded', 'linesLogged'],
    ['distinct lines let through, of those sent', 'linesLetThrough', 'linesDistinct'],
    ['thumbnails made, of pictures dropped', 'thumbnailsMade', 'picturesDropped'],
  ]
  const lines = rows.map(
    ([what, is, due]) =>
      `  ${what.padEnd(42)}${before[is]} of ${before[due]} / ${after[is]} of ${after[due]}`,
  )
  return [
    ...lines,
    `  ${'attempts the receiver failed on purpose'.padEnd(42)}${before.hooksRefused} / ${after.hooksRefused}`,
  ].join('\n')
}

/**
 * Describes how the figures were measured.
 * @param {readonly { group: string, alone: Phase, hosted: Phase }[]} results
 * @param {number} settleMs
 */
export function formatFootnote(results, settleMs) {
  const times = results.map(
    ({ group, alone, hosted }) =>
      `${group} ${seconds(alone.measuredAfterReadyMs)} / ${seconds(hosted.measuredAfterReadyMs)}`,
  )
  return [
    `Node ${process.versions.node}. Each phase ran once (n = 1); its memory is the median of ${READINGS} readings of smaps_rollup.`,
    `Time from ready to the reading, alone / hosted: ${times.join(', ')}; ${settleMs / 1000} s after the last work. 1 MB = 10^6 bytes.`,
    'This script is also a node process and shares the pages of the node binary with every phase.',
  ].join('\n')
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

/** @param {number} ms */
export function seconds(ms) {
  return `${(ms / 1000).toFixed(2)} s`
}

/** @param {number} before @param {number} after */
function change(before, after) {
  return before === 0
    ? ''
    : `${after <= before ? '-' : '+'}${Math.round((Math.abs(before - after) / before) * 100)} %`
}
