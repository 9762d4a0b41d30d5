// Placement `thread`: the worker in a worker thread with heap limits of its own. Node takes the whole process down when
// a thread allocates past them too fast; only `process` bounds memory.

import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { WorkerOptions } from 'node:worker_threads'
import { describeThrown } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { evidenceOf } from './exits.ts'
import { childEnvironment, heapLimitMiB, heapRemedy } from './child-settings.ts'
import type { Exit, LaunchRequest, Placement } from '../herd/placement.ts'
import { createChildPlacement } from './child-run.ts'
import type { ChildHost, ChildHandle, ChildEvents } from './child-handle.ts'
import { portTransport } from './wire/port-transport.ts'

const ENTRY = ownFile('placement/child/thread-entry.js')

export function createThreadPlacement(parts: ChildHost): Placement {
  return createChildPlacement('thread', openThread, parts)
}

function openThread(request: LaunchRequest, parts: ChildHost, events: ChildEvents): ChildHandle {
  const { spec } = request
  const { port1: port, port2: theirs } = new MessageChannel()
  const script = spec.source.kind === 'script'
  const worker = new Worker(script ? spec.source.path : ENTRY, {
    ...settings(spec),
    // A script has none of the supervisor's flags of node, as in `node script`.
    ...(spec.source.kind === 'script' ? { argv: [...spec.source.args], execArgv: [] } : {}),
    ...(script ? {} : { workerData: { port: theirs }, transferList: [theirs] }),
  })
  let failure: { readonly error: unknown } | undefined
  let ending = false
  worker.stdout.on('data', (chunk: Buffer) => parts.output(spec.name, 'stdout', chunk))
  worker.stderr.on('data', (chunk: Buffer) => parts.output(spec.name, 'stderr', chunk))
  worker.once('online', () => events.up({ pid: process.pid }))
  worker.on('error', (error) => (failure ??= { error }))
  const transport = portTransport(port)
  worker.once('exit', (code) => {
    drain()
    events.gone(() => explainEnd(spec, code, failure))
  })
  transport.listen({ text: events.text, posted: events.posted, drained: events.drained })
  /** The thread may be gone before its last words were read. */
  const drain = (): void => {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      if (typeof next.message === 'string') events.text(next.message)
  }
  const end = (): void => {
    if (ending) return
    ending = true
    void worker.terminate()
  }
  return {
    transport: script ? undefined : transport,
    // A thread has no signals: a script in one cannot be asked, a module has been.
    interrupt: () => script && end(),
    kill: end,
    close: () => port.close(),
  }
}

function settings(spec: ResolvedWorker): WorkerOptions {
  const heap = heapLimitMiB(spec)
  return {
    name: spec.name,
    env: childEnvironment(spec),
    stdout: true,
    stderr: true,
    ...(heap === undefined ? {} : { resourceLimits: { maxOldGenerationSizeMb: heap } }),
  }
}

function explainEnd(
  spec: ResolvedWorker,
  code: number,
  failure: { readonly error: unknown } | undefined,
): Exit {
  if (failure !== undefined) {
    const evidence = evidenceOf(failure.error)
    const limit = heapLimitMiB(spec)
    if (evidence['code'] === 'ERR_WORKER_OUT_OF_MEMORY') {
      const text = `V8 heap of its thread out of memory${heapRemedy(spec.name, limit)}`
      const unavailable = { heap: 'V8 ends a thread without a report' }
      return { verdict: 'oom-heap', text, evidence: { ...evidence, unavailable } }
    }
    const { type, message } = describeThrown(failure.error)
    return { verdict: 'failed', text: `its thread failed: ${type}: ${message}`, evidence }
  }
  if (code === 0)
    return spec.source.kind === 'script'
      ? { verdict: 'done', text: 'the script ended', evidence: { code } }
      : {
          verdict: 'unknown',
          text: 'its thread ended without a word',
          evidence: { code, unavailable: { reason: 'Node tells no more of a thread than its exit code' } },
        }
  return { verdict: 'failed', text: `its thread ended with code ${code}`, evidence: { code } }
}
