// Maps the name of a command to its module, which is loaded on use.

import { ByreError } from '../base/errors.ts'
import type { ControlAction } from '../herd/status.ts'
import type { SuperviseFlags } from './commands/supervise.ts'
import type { FlagValues } from './flags.ts'

/** Runs a command with arguments and flags that were checked against flags.ts. Returns the exit code. */
export async function runCommand(name: string, args: readonly string[], flags: FlagValues): Promise<number> {
  switch (name) {
    case 'supervise':
      if (flags['explain'] === true) return (await import('./commands/explain.ts')).explain(flags)
      return (await import('./commands/supervise.ts')).supervise(flags as SuperviseFlags)
    case 'run':
      return (await import('./commands/supervise.ts')).supervise({
        ...(flags as SuperviseFlags),
        worker: args[0]!,
      })
    case 'status':
      return (await import('./commands/status.ts')).status(flags)
    case 'log-level':
      return (await import('./commands/control.ts')).control(name, args[0]!, { level: args[1]! }, flags)
    case 'move':
      return (await import('./commands/control.ts')).control(name, args[0]!, { to: flags['to'] }, flags)
    case 'start':
    case 'stop':
    case 'restart':
    case 'wake':
    case 'sleep':
      return (await import('./commands/control.ts')).control(
        name satisfies ControlAction,
        args[0]!,
        undefined,
        flags,
      )
    case 'measure':
      return (await import('./commands/measure.ts')).measureCommand(args, flags)
    case 'compare':
      return (await import('./commands/compare.ts')).compareCommand(args, flags)
    case 'profile':
      return (await import('./commands/profile.ts')).profile(args[0]!, flags)
    case 'audit':
      return (await import('./commands/audit.ts')).audit(args, flags)
    case 'swap':
      return (await import('./commands/swap.ts')).swap(flags)
    case 'units':
      return (await import('./commands/units.ts')).units(flags)
    default:
      throw new ByreError('BYRE_INTERNAL', `Cannot run '${name}': the command is listed but not implemented.`)
  }
}
