import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { DOWN, type Fault, PARTLY, type Stage, TRANSPORT_CLIENTS } from './fault.js'

/** Sessions that outlive their server, as a real one keeps them. */
const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always']

async function killConnections({ operator }: Stage): Promise<void> {
  for (const type of ['normal', 'pubsub']) await operator.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
}

/** Redis is not there, cannot be reached, or does not say a word. */
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
    // In time for one question, and not for another one behind it.
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
    // What it tells is told late, but in time for the cache.
    cached: { verify: [200, 503] },
    way: 'proxy',
    clients: TRANSPORT_CLIENTS,
    start: ({ proxy }) => proxy.delay(800),
    end: ({ proxy }) => proxy.delay(0)
  },
  {
    // As a failover begins. A list is a script, which Redis takes for a write; and where nothing but writes are tried,
    // no request is answered.
    name: 'CLIENT PAUSE WRITE',
    during: { ...DOWN, verify: [200, 503] },
    clients: TRANSPORT_CLIENTS,
    start: ({ operator }) => operator.call('CLIENT', 'PAUSE', '60000', 'WRITE'),
    end: ({ operator }) => operator.call('CLIENT', 'UNPAUSE')
  },
  connectionStorm()
]

/** Clients come in crowds, take every place there is, and all are thrown out again and again. */
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
