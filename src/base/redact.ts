// Keeps secrets out of byre's output. Every text about a server with a password passes through one function.

/** Replaces secrets and the userinfo of any URL in `text` with '***'. */
export type Redact = (text: string) => string

/** Returns a function that replaces `secrets` as written, percent-encoded and as JSON text. Empty secrets are ignored. */
export function createRedactor(secrets: readonly (string | undefined)[]): Redact {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret === undefined || secret === '') continue
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      forms.add(form)
  }
  // Longest first: one secret may be part of another.
  const ordered = [...forms].toSorted((a, b) => b.length - a.length)
  return (text) => {
    let clean = text.replace(USERINFO, '$1***@')
    for (const form of ordered) clean = clean.replaceAll(form, '***')
    return clean
  }
}

/** The part between `scheme://` and the last `@` before the path: a user name, a password or both. */
const USERINFO = /\b([a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/]{1,1024}@/gi
