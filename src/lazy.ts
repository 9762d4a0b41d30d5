// Entry 'byre/lazy': modules that load on first use.

export { lazy, lazyNamespace } from './audit/lazy.ts'
export type { Lazy } from './audit/lazy.ts'
