// A unit allows the union of its workers' needs, and every worker that widens it is named.
import t from 'tap'
import { grantsOf, proposeSplits } from '../../src/systemd/grants.ts'
import { explainUnits } from '../../src/report/units-explain.ts'
import { resolvedHerd as herd } from '../helpers/resolved.ts'
import { worker } from './herds.ts'

const docker = worker('reconcile', { network: 'none', groups: ['docker'] })
const quiet = worker('quiet', { network: 'none', paths: ['/srv/shop/out'] })
const caller = worker('caller', { network: 'outbound', paths: ['/srv/shop/out'] })
const server = worker('server', { network: 'inbound', capabilities: ['CAP_NET_BIND_SERVICE'] })

t.test('the permissions are the union of all needs, each with the workers that need it', async (t) => {
  t.same(grantsOf(herd([]), [docker, quiet, caller]), {
    network: 'outbound',
    networkBy: [{ value: 'outbound', by: ['caller'] }],
    paths: [{ value: '/srv/shop/out', by: ['quiet', 'caller'] }],
    groups: [{ value: 'docker', by: ['reconcile'] }],
    capabilities: [],
  })
  t.equal(grantsOf(herd([]), [caller, server]).network, 'full', 'outbound and inbound together')
  t.equal(grantsOf(herd([]), [docker, quiet]).network, 'none')
})

t.test('a worker that does not declare network counts as full', async (t) => {
  t.match(grantsOf(herd([]), [quiet, worker('unknown', {})]), {
    network: 'full',
    networkBy: [{ value: 'full', by: ['unknown (network not declared)'] }],
  })
})

t.test('the network needs of the bus and the HTTP listener are included', async (t) => {
  const redis = { bus: { kind: 'redis', url: 'redis://r' } } as const
  t.match(grantsOf(herd([], redis), [quiet]), { networkBy: [{ value: 'outbound', by: ['the redis bus'] }] })
  const http = { http: { host: '127.0.0.1', port: 1 } }
  t.match(grantsOf(herd([], http), [quiet]), { network: 'inbound' })
})

t.test('a split is proposed when a single worker widens the unit of the others', async (t) => {
  t.same(proposeSplits(herd([]), [docker, quiet, caller]), [
    { worker: 'reconcile', removes: ['docker group'] },
    { worker: 'caller', removes: ['network outbound (the others need none)'] },
  ])
  t.same(proposeSplits(herd([]), [docker]), [], 'alone there is nobody to protect')
  t.same(proposeSplits(herd([]), [quiet, { ...quiet, name: 'twin' }]), [])
})

t.test('--explain prints permissions, workers and splits', async (t) => {
  t.equal(
    explainUnits(herd([docker, quiet, caller])),
    `byre-shop-batch.service: 3 workers
  allows                  why
  network outbound        only because of caller
  docker group            only because of reconcile
  write to /srv/shop/out  because of quiet, caller
  split: a separate group for reconcile would remove from the other 2: docker group
  split: a separate group for caller would remove from the other 2: network outbound (the others need none)
`,
  )
})
