import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { DOWN, type Fault, PARTLY, type Stage, TRANSPORT_CLIENTS } from './fault.js'

/** Persistence, so that sessions survive a kill of the server. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

async function killConnections({ operator }: Stage): Promise<void> {
  for (const type of ['normal', 'pubsub']) await operator.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
}

/** Redis is down, unreachable, or does not respond. */
export const CONNECTION_FAULTS: readonly Fault[] = [
  {
    name: 'SIGSTOP',
    during: DOWN,
    maxParallel: 10,
    clients: TRANSPORT_CLIENTS,
    start: ({ redis }) => redis.stall(),
    end: ({ redis }) => redis.resume()
  },
  {
    name: 'SIGKILL',
    during: DOWN,
    clients: TRANSPORT_CLIENTS,
    args: DURABLE,
    start: ({ redis }) => redis.kill(),
    end: ({ redis }) => redis.restart()
  },
  {
    name: 'SIGKILL, and its data is lost',
    during: DOWN,
    afterwards: 401,
    clients: TRANSPORT_CLIENTS,
    start: ({ redis }) => redis.kill(),
    end: ({ redis }) => redis.restart()
  },
  {
    name: 'refused connections',
    during: DOWN,
    clients: TRANSPORT_CLIENTS,
    tcp: true,
    async start(stage) {
      await stage.operator.config('SET', 'port', '0')
      await killConnections(stage)
    },
    end: ({ redis, operator }) => operator.config('SET', 'port', new URL(redis.url ?? '').port)
  },
  {
    // One call is in time, and two calls in sequence are not.
    name: 'slow, 400 ms',
    during: PARTLY,
    way: 'proxy',
    clients: TRANSPORT_CLIENTS,
    start: ({ proxy }) => proxy.delay(400),
    end: ({ proxy }) => proxy.delay(0)
  },
  {
    name: 'slow, 800 ms',
    during: DOWN,
    // Changes are reported late, but in time for the cache.
    cached: { verify: [200, 503] },
    way: 'proxy',
    clients: TRANSPORT_CLIENTS,
    start: ({ proxy }) => proxy.delay(800),
    end: ({ proxy }) => proxy.delay(0)
  },
  {
    // As at the start of a failover. A list is a script, which Redis treats as a write. A circuit that gets only writes
    // opens, and no request is answered.
    name: 'CLIENT PAUSE WRITE',
    during: { ...DOWN, verify: [200, 503] },
    clients: TRANSPORT_CLIENTS,
    start: ({ operator }) => operator.call('CLIENT', 'PAUSE', '60000', 'WRITE'),
    end: ({ operator }) => operator.call('CLIENT', 'UNPAUSE')
  },
  connectionStorm()
]

/** Many clients use up all connections, and all connections are closed repeatedly. */
function connectionStorm(): Fault {
  const crowd = new Map<Stage, { sockets: Set<Socket>; isOver: boolean; over?: Promise<void> }>()

  function join(sockets: Set<Socket>, path: string): void {
    const socket = connect(path)
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  }

  return {
    name: 'connection storm',
    during: PARTLY,
    clients: TRANSPORT_CLIENTS,
    args: ['--maxclients', '50'],
    start(stage) {
      const storm: { sockets: Set<Socket>; isOver: boolean; over?: Promise<void> } = {
        sockets: new Set(),
        isOver: false
      }
      crowd.set(stage, storm)
      storm.over = (async () => {
        while (!storm.isOver) {
          while (storm.sockets.size < 100) join(storm.sockets, stage.redis.socketPath)
          await delay(20)
          await killConnections(stage)
        }
      })()
    },
    async end(stage) {
      const storm = crowd.get(stage)
      if (storm === undefined) return
      storm.isOver = true
      await storm.over
      for (const socket of storm.sockets) socket.destroy()
      crowd.delete(stage)
    }
  }
}
