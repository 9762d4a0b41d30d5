// The embedded bus: one router for all workers of a process. It has no network and, unless a request is pending, no timer.

import type { HostBus } from './bus.ts'
import { closedError, Router } from './router.ts'
import type { EmbeddedBusOptions } from './router.ts'
import { Scope } from './scope.ts'

/** Creates a bus without a network. Workers use it through `scoped()`. */
export function createEmbeddedBus(options: EmbeddedBusOptions): HostBus {
  const router = new Router(options)
  const scopes = new Set<Scope>()
  const forget = (scope: Scope): void => void scopes.delete(scope)
  const root = new Scope(router, undefined, {}, forget)
  const assertOpen = (verb: string, name: unknown): void => {
    if (root.closed) throw closedError(verb, name)
  }
  return {
    kind: 'embedded',
    connections: 0,
    publish: (topic, payload, publishOptions) => root.publish(topic, payload, publishOptions),
    subscribe: (pattern, subscribeOptions) => root.subscribe(pattern, subscribeOptions),
    request: (topic, payload, requestOptions) => root.request(topic, payload, requestOptions),
    enqueue: (stream, payload) => root.enqueue(stream, payload),
    stream: (stream) => root.stream(stream),
    publishSystem: (topic, payload, publishOptions) => root.publishSystem(topic, payload, publishOptions),
    hasSubscribers: (topic) => router.hasReceivers(topic),
    tap(pattern, deliver) {
      assertOpen('tap', pattern)
      return router.tap(pattern, deliver)
    },
    scoped(owner, scopeOptions) {
      assertOpen('open a scope for', owner)
      const scope = new Scope(router, owner, scopeOptions ?? {}, forget)
      scopes.add(scope)
      return scope
    },
    close() {
      root.closeAll()
      for (const scope of scopes) scope.closeAll()
      router.removeTaps()
      return Promise.resolve()
    },
  }
}
