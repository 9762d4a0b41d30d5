// Writes every sample of every run to a CSV file: one `total` row, one row per stage and one per process of the largest ten.

import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { SampledProcess, TreeSample } from './sample-series.ts'

export interface TimelineFile {
  add(run: { readonly lane: string; readonly phase: string; readonly run: number }, sample: TreeSample): void
  close(): void
  /** The first reason why rows were lost. */
  readonly problem: string | undefined
}

const TIMELINE_HEADER =
  'lane,phase,run,elapsedMs,scope,name,pid,pssBytes,anonBytes,ussBytes,rssBytes,cpuMs,processes,currentBytes'
const MAX_PROCESSES = 10

/** Replaces the file at `path`. A write error loses rows and sets `problem`, but never fails a run. */
export function openTimelineFile(path: string): TimelineFile {
  let problem: string | undefined
  let fd: number | undefined
  const write = (text: string): void => {
    if (fd === undefined) return
    try {
      writeSync(fd, text)
    } catch (error) {
      problem ??= `the timeline is incomplete: ${(error as Error).message}`
    }
  }
  try {
    mkdirSync(dirname(path), { recursive: true })
    fd = openSync(path, 'w')
    write(`${TIMELINE_HEADER}\n`)
  } catch (error) {
    problem = `no timeline: ${(error as Error).message}`
  }
  return {
    add: (run, sample) => write(timelineRows(run, sample)),
    close() {
      if (fd !== undefined) closeSync(fd)
      fd = undefined
    },
    get problem() {
      return problem
    },
  }
}

/** The rows of one sample, with their newlines. */
function timelineRows(
  run: { readonly lane: string; readonly phase: string; readonly run: number },
  sample: TreeSample,
): string {
  const head = [field(run.lane), run.phase, run.run, Math.round(sample.atMs)].join(',')
  const row = (scope: string, name: string, pid: number | '', list: readonly SampledProcess[]): string => {
    const sum = (key: 'pssBytes' | 'anonBytes' | 'ussBytes' | 'rssBytes' | 'cpuMs'): number =>
      list.reduce((total, process) => total + process[key], 0)
    const values = [
      sum('pssBytes'),
      sum('anonBytes'),
      sum('ussBytes'),
      sum('rssBytes'),
      Math.round(sum('cpuMs')),
    ]
    const current = scope === 'total' ? (sample.currentBytes ?? '') : ''
    return `${head},${scope},${field(name)},${pid},${values.join(',')},${list.length},${current}\n`
  }
  const stages = new Map<string, SampledProcess[]>() // Map.groupBy is not in Node 20
  for (const process of sample.processes) {
    const list = stages.get(process.stage)
    if (list === undefined) stages.set(process.stage, [process])
    else list.push(process)
  }
  const top = sample.processes.toSorted((a, b) => b.pssBytes - a.pssBytes).slice(0, MAX_PROCESSES)
  return [
    row('total', '', '', sample.processes),
    ...[...stages].map(([name, list]) => row('stage', name, '', list)),
    ...top.map((process) => row('process', process.command, process.pid, [process])),
  ].join('')
}

function field(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""').replace(/[\r\n]+/g, ' ')}"` : text
}
