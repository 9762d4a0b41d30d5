// The inspector of a worker thread, reached from the main thread over the NodeWorker domain of a session with itself: a
// thread that holds its own loop hears it all the same. Loaded with the first stall of a worker in a thread.
// Ending a thread while such a session is open is harmless (n = 200 on Node 20, 22, 24 and 26); the other direction, a
// session of a thread with the main thread, aborts Node 20.

import { Session } from 'node:inspector'
import type { NodeWorker } from 'node:inspector'
import type { Channel, Connect } from './pause.ts'
import { Replies } from './replies.ts'

/** `threadId` is Node's, as in `worker.threadId`. */
export function threadConnector(threadId: number): Connect {
  return async (heard) => {
    const session = new Session()
    session.connect()
    try {
      return await openChannel(session, `[worker ${threadId}]`, heard)
    } catch (error) {
      session.disconnect()
      throw error
    }
  }
}

/** Every thread of the process is attached; all but the wanted one are let go at once. */
async function openChannel(
  session: Session,
  wanted: string,
  heard: Parameters<Connect>[0],
): Promise<Channel> {
  const replies = new Replies(heard)
  let id: string | undefined
  session.on('NodeWorker.attachedToWorker', ({ params }) => {
    const { sessionId, workerInfo } = params
    if (id === undefined && workerInfo.title.startsWith(wanted)) id = sessionId
    else session.post('NodeWorker.detach', { sessionId }, () => {})
  })
  session.on('NodeWorker.receivedMessageFromWorker', ({ params }) => {
    if (params.sessionId === id) replies.receive(params.message)
  })
  await new Promise<void>((resolve) =>
    // Answered when all are attached.
    session.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, () => resolve()),
  )
  if (id === undefined) throw new Error('its thread cannot be reached by the inspector')
  return channelTo(session, id, replies)
}

function channelTo(session: Session, sessionId: string, replies: Replies): Channel {
  let open = true
  return {
    post(method, params, reply) {
      if (!open) return reply?.(undefined)
      const message = replies.request(method, params, reply)
      const sent: NodeWorker.SendMessageToWorkerParameterType = { sessionId, message }
      session.post('NodeWorker.sendMessageToWorker', sent, () => {})
    },
    close() {
      if (!open) return
      open = false
      replies.close()
      session.post('NodeWorker.detach', { sessionId }, () => {}) // refused when the thread is gone
      session.disconnect()
    },
  }
}
