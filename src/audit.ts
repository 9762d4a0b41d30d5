// Entry 'byre/audit': the import-floor auditor as a library.

export { audit } from './audit/audit.ts'
export { entryOfFile, resolveEntry } from './audit/entry.ts'
export type { Entry } from './audit/entry.ts'
export type { AuditOptions, AuditProgress } from './audit/options.ts'
export type * from './audit/result.ts'
