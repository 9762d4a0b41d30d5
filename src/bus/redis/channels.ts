// Channel names on the server. Every channel of a herd begins with its prefix, and a NATS pattern becomes the narrowest
// Redis glob that covers it. `*` in a Redis glob crosses dots, so the router matches received messages again by pattern.

/** Prefix of every channel of the herd. The config refuses herd names with glob characters. */
export function channelPrefix(herd: string): string {
  return `byre:${herd}:`
}

/** One upstream subscription: a channel (SUBSCRIBE) or a glob (PSUBSCRIBE). */
export interface Upstream {
  readonly kind: 'channel' | 'glob'
  readonly name: string
}

/** Returns the upstream subscription for a valid pattern. Several patterns can share one. */
export function upstreamOf(prefix: string, pattern: string): Upstream {
  const tokens = pattern.split('.')
  if (!tokens.some((token) => token === '*' || token === '>'))
    return { kind: 'channel', name: prefix + pattern }
  // '?*' matches one byte or more, since a token is never empty
  const globs = tokens.map((token) => (token === '*' || token === '>' ? '?*' : escapeGlob(token)))
  return { kind: 'glob', name: escapeGlob(prefix) + globs.join('.') }
}

/** Escapes text to a glob that matches only it. Redis globs use `* ? [ ] ^ - \`, of which `^` and `-` have a meaning only
 *  inside brackets. */
function escapeGlob(text: string): string {
  return text.replace(/[*?[\]\\]/g, String.raw`\$&`)
}
