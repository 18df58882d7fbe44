import type { Answer } from '../../fixtures/redis/start-resp-proxy.js'
import { DOWN, type Expected, type Fault, WORKS } from './fault.js'

/** Changes are still notified, so cached sessions stay valid. */
const CACHED: Partial<Expected> = { verify: [200, 503] }

/** A node of a Cluster redirects or refuses the client. */
export const REDIRECTIONS: readonly Fault[] = [
  redirection('CLUSTERDOWN', DOWN, () => () => '-CLUSTERDOWN The cluster is down\r\n'),
  redirection('TRYAGAIN', DOWN, () => () => '-TRYAGAIN Multiple keys request during rehashing of slot\r\n'),
  redirection('MOVED storm', DOWN, (port) => () => `-MOVED 1 127.0.0.1:${port}\r\n`),
  redirection('ASK storm', DOWN, (port) => () => `-ASK 1 127.0.0.1:${port}\r\n`),
  // As during a slot migration: the target of the redirection responds.
  redirection('ASK', WORKS, (port) => (_command, [previous]) => {
    return previous === 'ASKING' ? undefined : `-ASK 1 127.0.0.1:${port}\r\n`
  })
]

function redirection(name: string, during: Expected, answerOf: (port: number) => Answer): Fault {
  return {
    name,
    during,
    cached: CACHED,
    way: 'cluster',
    clients: ['injected'],
    start({ proxy }) {
      const answer = answerOf(proxy.port)
      proxy.answer((command, previous) => (hasKeys(command) ? answer(command, previous) : undefined))
    },
    end: ({ proxy }) => proxy.answer(null)
  }
}

function hasKeys([name = '']: readonly string[]): boolean {
  return ['MGET', 'EVAL', 'EVALSHA'].includes(name)
}
