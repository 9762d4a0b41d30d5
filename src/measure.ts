// Entry 'byre/measure': `byre measure` and `byre compare` as a library. Needs Linux and perl.

export type { Comparison, CompareRow, Verdict } from './measure/compare.ts'
export { compare } from './measure/compare.ts'
export type { Lane, MeasureEvent, MeasureOptions } from './measure/measure.ts'
export { measure } from './measure/measure.ts'
export type { MeasureResult, MetricName, RunResult } from './measure/result.ts'
export type { StageRule } from './measure/stages.ts'
export { parseStageRule } from './measure/stages.ts'
