// Replies over the network: one exact channel per process, `_inbox.<process>`, so that an ACL can allow it by the herd's
// prefix (Redis compares a glob with an ACL letter by letter). Which request a reply is to, its envelope says: `inReplyTo`
// is the `id` of the request, `<process>-r<n>`. Inside a process both are one topic, `_inbox.<process>.<process>-r<n>`.
// A reply topic of any other form is somebody else's and stays as it is.

import { checkTopic, INBOX, isInbox } from '../base/topics.ts'

/** A reply topic as the wire has it. */
export interface WireReply {
  /** Where the reply is published. */
  readonly topic: string
  /** The request's id; undefined where the topic alone says it. */
  readonly id: string | undefined
}

/** The wire's form of a reply topic that a bus of byre made; any other is its own. */
export function splitReplyTopic(topic: string): WireReply {
  const parts = isInbox(topic) ? OURS.exec(topic)?.groups : undefined
  return parts === undefined
    ? { topic, id: undefined }
    : { topic: `${INBOX}.${parts['process']}`, id: parts['id'] }
}

/** The one topic for a request's `replyTo` and `id`; the `replyTo` as it is unless byre made both. */
export function joinReplyTopic(replyTo: string, id: string): string {
  const joined = `${replyTo}.${id}`
  return isInbox(replyTo) && OURS.test(joined) && checkTopic(joined) === undefined ? joined : replyTo
}

/** As PendingRequests makes them. */
const OURS = new RegExp(`^${INBOX}\\.(?<process>[^.]+)\\.(?<id>\\k<process>-r[0-9]+)$`)
