// Reply topics on the network and inside a process. On the network each process has one channel for replies,
// `_inbox.<process>`, so that an ACL can allow it by the herd's prefix (Redis compares a glob with an ACL literally), and
// the envelope's `inReplyTo` names the request's `id`, `<process>-r<n>`. Inside a process the two are one topic,
// `_inbox.<process>.<process>-r<n>`. Reply topics of any other form were not created by byre and are left unchanged.

import { checkTopic, INBOX, isInbox } from '../base/topics.ts'

/** A reply topic on the network. */
interface WireReply {
  /** The topic to publish the reply to. */
  readonly topic: string
  /** The request's id; undefined where the topic alone identifies the request. */
  readonly id: string | undefined
}

/** Converts a reply topic created by byre to its network form. Any other topic is returned unchanged. */
export function splitReplyTopic(topic: string): WireReply {
  const parts = isInbox(topic) ? OURS.exec(topic)?.groups : undefined
  return parts === undefined
    ? { topic, id: undefined }
    : { topic: `${INBOX}.${parts['process']}`, id: parts['id'] }
}

/** Joins a request's `replyTo` and `id` to the topic used inside a process. A `replyTo` that byre did not create is returned
 *  unchanged. */
export function joinReplyTopic(replyTo: string, id: string): string {
  const joined = `${replyTo}.${id}`
  return isInbox(replyTo) && OURS.test(joined) && checkTopic(joined) === undefined ? joined : replyTo
}

/** The form that PendingRequests creates. */
const OURS = new RegExp(`^${INBOX}\\.(?<process>[^.]+)\\.(?<id>\\k<process>-r[0-9]+)$`)
