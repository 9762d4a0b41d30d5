// The table of `byre profile`. Pure.

import type { ProfileReport } from '../herd/status.ts'
import { textTable } from './text-table.ts'

/** The profile as a table. `worker` is the requested worker, marked with `*`; `placement` is where it runs. */
export function profileText(report: ProfileReport, worker: string, placement: string): string {
  const { kind, total, windowMs } = report
  const amount = (self: number): string =>
    kind === 'cpu' ? `${(self / 1000).toFixed(1)} ms` : `${(self / 1024).toFixed(0)} KiB`
  const share = (self: number): string => (total === 0 ? '-' : `${((100 * self) / total).toFixed(1)} %`)
  const row = (name: string, self: number): string[] => [amount(self), share(self), name]
  const rows = [
    ...report.workers.map((one) => row(one.worker === worker ? `${worker} *` : one.worker, one.self)),
    row('(byre)', report.byre),
    row('(V8 and Node)', report.runtime),
    row('(unattributed)', report.unattributed),
  ]
  const loop = placement === 'shared' ? 'the shared loop by worker' : `the ${placement} of ${worker}`
  const title = kind === 'cpu' ? 'CPU' : 'live heap'
  const of =
    kind === 'cpu'
      ? `busy ${amount(total)} of ${(windowMs / 1000).toFixed(1)} s`
      : `${amount(total)} allocated within ${(windowMs / 1000).toFixed(1)} s`
  const places = report.places.map(({ where, self }) => `  ${amount(self)}  ${where}`)
  return [
    `${title} of ${loop}: ${of}`,
    ...textTable(
      [{ title: 'self', align: 'right' }, { title: 'share', align: 'right' }, { title: 'worker' }],
      rows,
    ),
    ...(places.length === 0 ? [] : ['unattributed, by place:', ...places]),
    `written for Chrome DevTools and speedscope: ${report.file}`,
    '',
  ].join('\n')
}
