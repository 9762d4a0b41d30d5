// Entry "byre/tap": `t.importFloor(entry, {max, deny, allow})` for tap (`tap plugin add byre/tap`), and importFloor()
// for all other test runners.

import { measureImportFloor, type ImportFloorOptions } from './audit/import-floor.ts'

export { importFloor } from './audit/import-floor.ts'
export type { ImportFloorOptions } from './audit/import-floor.ts'

/** The methods of a tap test that the plugin calls. */
export interface TapTest {
  pass(message?: string): boolean
  fail(message: string, extra?: Record<string, unknown>): boolean
}

/** The plugin interface of tap. */
export function plugin(t: TapTest): {
  importFloor(entry: string, options?: ImportFloorOptions): Promise<boolean>
} {
  return {
    async importFloor(entry, options = {}) {
      const { problems, result } = await measureImportFloor(entry, options)
      const title = `import floor of ${entry}`
      if (problems.length === 0) return t.pass(title)
      return t.fail(`${title}: ${problems.join('; ')}`, {
        floorBytes: result.floor.calibratedBytes.medianBytes,
      })
    },
  }
}
