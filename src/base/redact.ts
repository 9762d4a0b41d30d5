// Keeps secrets out of what byre writes: one function that every text about a server with a password goes through.

/** Replaces every secret it was made with, and the userinfo of any URL, by '***'. */
export type Redact = (text: string) => string

/** `secrets` are replaced as they are and percent-encoded; empty ones are ignored. */
export function createRedactor(secrets: readonly (string | undefined)[]): Redact {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret === undefined || secret === '') continue
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])
      forms.add(form)
  }
  // the longest first: one secret may be part of another
  const ordered = [...forms].toSorted((a, b) => b.length - a.length)
  return (text) => {
    let clean = text.replace(USERINFO, '$1***@')
    for (const form of ordered) clean = clean.replaceAll(form, '***')
    return clean
  }
}

/** What stands between `scheme://` and the last `@` before the path: a user name, a password or both. */
const USERINFO = /\b([a-z][a-z0-9+.-]{0,31}:\/\/)[^\s/]{1,1024}@/gi
