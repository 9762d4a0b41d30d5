// The modules of scripts/conformance are plain JavaScript: each test says what it takes of one.

export async function script<T>(name: string): Promise<T> {
  return (await import(new URL(`../../../scripts/conformance-lib/${name}`, import.meta.url).href)) as T
}
