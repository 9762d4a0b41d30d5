// Placement `thread`: the worker runs in a worker thread with separate heap limits. Node ends the whole process when a
// thread exceeds them too fast; only placement `process` bounds memory.

import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import type { WorkerOptions } from 'node:worker_threads'
import { describeThrown } from '../base/errors.ts'
import { ownFile } from '../base/own-files.ts'
import type { ResolvedWorker } from '../config/types.ts'
import { evidenceOf } from './exits.ts'
import { childEnvironment, heapLimitMiB, heapRemedy } from './launch-settings.ts'
import type { Exit } from '../herd/placement.ts'
import { readChildren, readTids } from '../procfs/children.ts'
import type { ChildEvents, ChildHandle, ChildServices, SpawnChild } from './child-handle.ts'
import { fifoStem, openReadingEnds } from './output-pipes.ts'
import { StartedChildren } from './started-children.ts'
import { portTransport } from './wire/transports.ts'

const ENTRY = ownFile('placement/child/thread-entry.js')

/** The services of the supervisor that a thread uses. */
type ThreadServices = Pick<ChildServices, 'endChildren' | 'outputFolder'>

export function createThreadSpawner(services: ThreadServices): SpawnChild {
  return ({ spec }, events) => spawnThread(spec, events, services)
}

function spawnThread(
  spec: ResolvedWorker,
  events: ChildEvents,
  { endChildren, outputFolder }: ThreadServices,
): ChildHandle {
  const { port1: port, port2: childPort } = new MessageChannel()
  const script = spec.source.kind === 'script'
  const start = (): Worker =>
    new Worker(script ? spec.source.path : ENTRY, {
      ...settings(spec),
      // A script gets none of the supervisor's Node flags, as with `node script`.
      ...(spec.source.kind === 'script' ? { argv: [...spec.source.args], execArgv: [] } : {}),
      ...(script ? {} : { workerData: { port: childPort }, transferList: [childPort] }),
    })
  // A module's children are reported over the wire.
  const { worker, tid } = script ? withThreadId(start) : { worker: start(), tid: undefined }
  const children = new StartedChildren()
  let failure: { readonly error: unknown } | undefined
  let ending = false
  worker.stdout.on('data', (chunk: Buffer) => events.output('stdout', chunk))
  worker.stderr.on('data', (chunk: Buffer) => events.output('stderr', chunk))
  worker.once('online', () => events.up({ pid: process.pid }))
  worker.on('error', (error) => (failure ??= { error }))
  const transport = portTransport(port)
  worker.once('exit', (code) => {
    drain()
    endStarted()
    events.gone(() => explainEnd(spec, code, failure))
  })
  transport.listen({ text: events.text, posted: events.posted, drained: events.drained })
  /** Reads what is left in the port: the thread may end before its final record was read. */
  const drain = (): void => {
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      if (typeof next.message === 'string') events.text(next.message)
  }
  const endStarted = (): void => {
    const roots = children.take()
    if (roots.length > 0) void endChildren(spec, { roots })
  }
  const end = (): void => {
    if (ending) return
    ending = true
    if (tid !== undefined) for (const child of readChildren('self', tid)) children.add(child)
    void worker.terminate()
  }
  return {
    transport: script ? undefined : transport,
    // A thread receives no signals. A script cannot be stopped otherwise; a module was sent the stop over the wire.
    interrupt: () => script && end(),
    kill: end,
    close() {
      endStarted()
      port.close()
    },
    childStarted: (child) => children.add(child),
    readOutput(id) {
      const [stdout, stderr] = openReadingEnds(fifoStem(outputFolder, id))
      for (const [name, stream] of [
        ['stdout', stdout],
        ['stderr', stderr],
      ] as const)
        stream.on('data', (chunk: Buffer) => events.output(name, chunk)).unref()
    },
  }
}

/** Starts a thread and returns the kernel's id of it; undefined if another thread was started at the same moment. */
function withThreadId(start: () => Worker): { readonly worker: Worker; readonly tid: number | undefined } {
  const before = new Set(readTids('self'))
  const worker = start()
  const started = readTids('self').filter((tid) => !before.has(tid))
  return { worker, tid: started.length === 1 ? started[0] : undefined }
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
          text: 'its thread ended without reporting an exit',
          evidence: { code, unavailable: { reason: 'Node reports only the exit code of a thread' } },
        }
  return { verdict: 'failed', text: `its thread ended with code ${code}`, evidence: { code } }
}
