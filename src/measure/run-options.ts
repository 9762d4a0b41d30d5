// What one run of a measured command is asked for.

import type { VerifyRules } from './paths.ts'
import type { Phase } from './result.ts'
import type { TreeSample } from './series.ts'
import type { StageRule } from './stages.ts'

export interface RunOptions {
  readonly lane: string
  /** Program and arguments; a shell line is ['sh', '-c', line]. */
  readonly command: readonly string[]
  readonly phase: Phase
  readonly run: number
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  readonly rules: readonly StageRule[]
  readonly intervalMs: number
  readonly verify: VerifyRules
  /** Name -> folder or file. */
  readonly sizes: Readonly<Record<string, string>>
  readonly limitBytes?: number
  readonly logPath?: string
  readonly logMaxBytes: number
  /** May systemd-run be asked for a scope where no cgroup can be made? */
  readonly scopes: boolean
  /** False: samples only. */
  readonly useCgroup: boolean
  /** Aborted once: SIGINT to the command. Aborted with `kill`: SIGKILL to its tree. */
  readonly interrupt: AbortSignal
  readonly kill: AbortSignal
  readonly onSample?: (sample: TreeSample) => void
  readonly onOutput?: (chunk: Buffer, stream: 'stdout' | 'stderr') => void
}
