// The spelling rules of topics and patterns, shared by the config (which checks) and the bus (which routes).
// Pure text: matching and the trie live in bus/.

/** Longest topic or pattern, in UTF-16 code units; bounds the depth of the routing trie to 128 tokens. */
export const MAX_TOPIC_LENGTH = 256
/** First token of reply topics. Nobody outside the bus publishes or subscribes to them, and no wildcard covers them. */
export const INBOX = '_inbox'

// A token is anything but white space, control characters, lone surrogates and the three characters with a meaning.
const TOKEN = String.raw`[^\s\p{Cc}\p{Cs}.*>]+`
const TOPIC = new RegExp(String.raw`^${TOKEN}(?:\.${TOKEN})*$`, 'u')
const PATTERN = new RegExp(String.raw`^(?:(?:${TOKEN}|\*)\.)*(?:${TOKEN}|\*|>)$`, 'u')

/** Why `text` is not a topic one can publish to, or undefined when it is: dot-separated tokens, no wildcards. */
export function checkTopic(text: string): string | undefined {
  if (text.length <= MAX_TOPIC_LENGTH && TOPIC.test(text)) return undefined
  return reason(text, false)
}

/** Why `text` is not a pattern one can subscribe to, or undefined when it is: `*` stands for one token, a last `>`
 *  for one or more; both stand alone between dots (NATS rules). */
export function checkPattern(text: string): string | undefined {
  if (text.length <= MAX_TOPIC_LENGTH && PATTERN.test(text)) return undefined
  return reason(text, true)
}

/** Reply topics, and patterns for them: `_inbox` and all below it. */
export function isInbox(text: string): boolean {
  return text.startsWith(INBOX) && (text.length === INBOX.length || text[INBOX.length] === '.')
}

function reason(text: string, wildcards: boolean): string {
  if (text === '') return 'it is empty'
  if (text.length > MAX_TOPIC_LENGTH)
    return `it has ${text.length} characters, at most ${MAX_TOPIC_LENGTH} are allowed`
  if (/[\s\p{Cc}\p{Cs}]/u.test(text)) return 'it contains white space or a character that cannot be printed'
  const tokens = text.split('.')
  if (tokens.includes('')) return 'it has an empty token (a leading, trailing or doubled dot)'
  if (!wildcards) return "it contains '*' or '>', which only patterns may"
  if (tokens.slice(0, -1).includes('>')) return "'>' may only be the last token"
  return "'*' and '>' must stand alone between dots"
}
