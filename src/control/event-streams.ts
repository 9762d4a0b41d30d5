// GET /events: sends every transition as a server-sent event to each connected client. A client that does not read is dropped at
// 256 KiB; the supervisor never waits for a client.

import { stringify } from '../base/json.ts'
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { ControlTarget, TransitionEvent } from '../herd/status.ts'
import type { Phase, Refusals } from './connection.ts'

export interface EventStreams {
  /** Turns `res` into a stream of events. Returns false, and sends nothing, when there are already 16 streams. */
  open(res: ServerResponse): boolean
  readonly size: number
  /** Ends all streams. */
  close(): void
}

export const MAX_EVENT_STREAMS = 16
/** Maximum number of bytes buffered for a slow client, in addition to the kernel's socket buffer. */
export const MAX_BEHIND_BYTES: number = 256 * 1024

export function eventStreams(
  target: ControlTarget,
  refusals: Refusals,
  enter: (socket: Socket, phase: Phase) => void,
): EventStreams {
  const clients = new Set<ServerResponse>()
  let unsubscribe: (() => void) | undefined

  const onTransition = (event: TransitionEvent): void => {
    const { v, ts, worker, from, to, reason } = event
    const text = `event: transition\ndata: ${stringify({ v, ts, worker, from, to, reason })}\n\n`
    for (const res of clients) {
      if (res.writableLength + text.length > MAX_BEHIND_BYTES) {
        refusals.note('sse-behind', { behindBytes: res.writableLength })
        drop(res)
        res.destroy()
      } else res.write(text)
    }
  }
  // Subscribed to the target's transitions only while there are clients.
  const drop = (res: ServerResponse): void => {
    clients.delete(res)
    if (clients.size > 0) return
    unsubscribe?.()
    unsubscribe = undefined
  }

  return {
    open(res) {
      if (clients.size >= MAX_EVENT_STREAMS) return false
      clients.add(res)
      unsubscribe ??= target.onTransition(onTransition)
      res.once('close', () => drop(res))
      if (res.socket !== null) enter(res.socket, 'events')
      res.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        connection: 'close',
      })
      res.write(': byre transitions\n\n')
      return true
    },
    get size() {
      return clients.size
    },
    close() {
      for (const res of clients) {
        drop(res)
        res.end()
      }
    },
  }
}
