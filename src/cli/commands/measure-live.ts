// The view during a measurement: the output of the command and, on a terminal, a status line that is overwritten.

import { formatMegabytes } from '../../base/bytes.ts'
import type { MeasureEvent } from '../../measure/measure.ts'
import type { TreeSample } from '../../measure/sample-series.ts'

export interface LiveView {
  readonly onEvent: (event: MeasureEvent) => void
  clear(): void
}

const CLEAR = '\r\x1b[K'

export function createLiveView(o: { readonly isTerminal: boolean; readonly showOutput: boolean }): LiveView {
  let peak = 0
  let title = ''
  const line = (text: string): void => {
    if (o.isTerminal) process.stderr.write(`${CLEAR}${text.slice(0, (process.stderr.columns ?? 80) - 1)}`)
  }
  return {
    onEvent(event) {
      if (event.kind === 'step') {
        peak = 0
        title = `${event.index + 1}/${event.steps} ${event.step.isWarmup ? 'warm-up' : event.step.phase} `
        line(title)
      } else if (event.kind === 'sample') {
        const bytes = heldBy(event.sample)
        peak = Math.max(peak, bytes)
        line(`${title}${liveText(event.sample, bytes, peak)}`)
      } else if (event.kind === 'output' && o.showOutput) {
        line('')
        process[event.stream].write(event.chunk)
      }
    },
    clear() {
      if (o.isTerminal) process.stderr.write(CLEAR)
    },
  }
}

/** `412.0 MB now, 602.3 MB peak, bundle, 12 s`. */
export function liveText(sample: TreeSample, bytes: number, peakBytes: number): string {
  const stages = new Map<string, number>()
  for (const { stage, pssBytes } of sample.processes) stages.set(stage, (stages.get(stage) ?? 0) + pssBytes)
  const stage = [...stages].toSorted((a, b) => b[1] - a[1])[0]?.[0] ?? ''
  return `${formatMegabytes(bytes)} now, ${formatMegabytes(peakBytes)} peak, ${stage}, ${Math.round(sample.atMs / 1000)} s`
}

function heldBy(sample: TreeSample): number {
  return sample.currentBytes ?? sample.processes.reduce((total, { pssBytes }) => total + pssBytes, 0)
}
