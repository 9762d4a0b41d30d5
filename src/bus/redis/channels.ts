// Names on the server: every channel of a herd begins with its prefix, and a NATS pattern becomes the narrowest Redis
// glob that covers it. Redis globs know no tokens (`*` crosses dots), so what arrives is judged again by the pattern.

/** What every channel of the herd begins with; its name holds no glob character by the rules of the config. */
export function channelPrefix(herd: string): string {
  return `byre:${herd}:`
}

/** One upstream subscription: a channel (SUBSCRIBE) or a glob (PSUBSCRIBE). */
export interface Upstream {
  readonly kind: 'channel' | 'glob'
  readonly name: string
}

/** The upstream subscription behind a well-formed pattern. Several patterns may share one. */
export function upstreamOf(prefix: string, pattern: string): Upstream {
  const tokens = pattern.split('.')
  if (!tokens.some((token) => token === '*' || token === '>'))
    return { kind: 'channel', name: prefix + pattern }
  // '?*' is one byte or more: a token is never empty
  const globs = tokens.map((token) => (token === '*' || token === '>' ? '?*' : escapeGlob(token)))
  return { kind: 'glob', name: escapeGlob(prefix) + globs.join('.') }
}

/** Text as a glob that matches it alone: Redis gives a meaning to `* ? [ ] ^ - \`, the last three inside brackets only. */
function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, String.raw`\$&`)
}
