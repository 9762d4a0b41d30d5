// Replies over the network: one exact channel per process, `_inbox.<process>`, so that an ACL can allow it by the herd's
// prefix (Redis compares a glob with an ACL letter by letter). Which request a reply is to, its envelope says: `inReplyTo`
// is the `id` of the request. Inside a process both are one topic, `_inbox.<process>.<id>`.

import { checkTopic } from '../base/topics.ts'
import { INBOX, isInbox } from './topics.ts'

/** A reply topic as the wire has it. */
export interface WireReply {
  /** Where the reply is published. */
  readonly topic: string
  /** The request's id; undefined where the topic alone says it. */
  readonly id: string | undefined
}

/** The wire's form of a reply topic of this or another process. */
export function splitReplyTopic(topic: string): WireReply {
  const end = isInbox(topic) ? topic.indexOf('.', INBOX.length + 1) : -1
  return end === -1 ? { topic, id: undefined } : { topic: topic.slice(0, end), id: topic.slice(end + 1) }
}

/** The one topic for a request's `replyTo` and `id`. An id that cannot be in a topic leaves the `replyTo` as it is. */
export function joinReplyTopic(replyTo: string, id: string): string {
  if (!isInbox(replyTo) || replyTo.includes('.', INBOX.length + 1)) return replyTo
  const joined = `${replyTo}.${id}`
  return checkTopic(joined) === undefined ? joined : replyTo
}
