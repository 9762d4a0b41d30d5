// The syntax rules of topics and patterns, shared by the config, which checks them, and the bus, which routes by them.
// Matching and the routing trie are in bus/.

/** The longest topic or pattern, in UTF-16 code units. It bounds the depth of the routing trie to 128 tokens. */
export const MAX_TOPIC_LENGTH = 256
/** The first token of reply topics. Only the bus publishes or subscribes to them, and no wildcard matches them. */
export const INBOX = '_inbox'

// A token has any characters except white space, control characters, lone surrogates and the special '.', '*' and '>'.
const TOKEN = String.raw`[^\s\p{Cc}\p{Cs}.*>]+`
const TOPIC = new RegExp(String.raw`^${TOKEN}(?:\.${TOKEN})*$`, 'u')
const PATTERN = new RegExp(String.raw`^(?:(?:${TOKEN}|\*)\.)*(?:${TOKEN}|\*|>)$`, 'u')

/** Returns the reason why `text` is not a valid topic, or undefined when it is valid: tokens separated by dots, without
 *  wildcards. */
export function checkTopic(text: string): string | undefined {
  if (text.length <= MAX_TOPIC_LENGTH && TOPIC.test(text)) return undefined
  return reason(text, false)
}

/** Returns the reason why `text` is not a valid pattern, or undefined when it is valid. `*` matches one token, a final `>`
 *  one or more; both must be whole tokens (the rules of NATS). */
export function checkPattern(text: string): string | undefined {
  if (text.length <= MAX_TOPIC_LENGTH && PATTERN.test(text)) return undefined
  return reason(text, true)
}

/** Returns true for reply topics and patterns for them: `_inbox` and everything below it. */
export function isInbox(text: string): boolean {
  return text.startsWith(INBOX) && (text.length === INBOX.length || text[INBOX.length] === '.')
}

function reason(text: string, wildcards: boolean): string {
  if (text === '') return 'it is empty'
  if (text.length > MAX_TOPIC_LENGTH)
    return `it has ${text.length} characters, and at most ${MAX_TOPIC_LENGTH} are allowed`
  if (/[\s\p{Cc}\p{Cs}]/u.test(text)) return 'it contains white space or an unprintable character'
  const tokens = text.split('.')
  if (tokens.includes('')) return 'it has an empty token (a leading, trailing or doubled dot)'
  if (!wildcards) return "it contains '*' or '>', which are allowed in patterns only"
  if (tokens.slice(0, -1).includes('>')) return "'>' must be the last token"
  return "'*' and '>' must be whole tokens"
}
