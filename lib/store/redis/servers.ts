import { isCluster, type RedisClient, type RedisCluster } from './client.js'
import { masterOf, tagOnServer } from './cluster-slots.js'

/** A server that holds sessions. */
export interface SessionServer {
  /** `host:port` of a Cluster master; `''` for a single server. */
  name: string
  /** A tag that no user has, whose keys are on this server. */
  tag: string
  /** The number of Cluster slots on the server; 1 for a single server. */
  share: number
}

/** The servers behind a client: the masters of a Cluster that own slots, or a single server. */
export interface Servers {
  /** The name of the server that holds the sessions of the user with this tag; `''` while the client does not know. */
  serverOf(tag: string): string
  /** All servers that the client knows. */
  all(): SessionServer[]
}

const SINGLE: SessionServer = { name: '', tag: '0', share: 1 }

/** The servers behind this client, always up to date. */
export function createServers(client: RedisClient): Servers {
  if (!isCluster(client)) return { serverOf: () => SINGLE.name, all: () => [SINGLE] }
  return {
    serverOf: (tag) => masterOf(client, tag),
    // By slots, not by nodes: the client drops a node with a lost connection, but the users of the node still count.
    all: () => Array.from(sharesOf(client), ([name, share]) => ({ name, tag: tagOnServer(client, name), share }))
  }
}

/** The number of slots of each master, by the name of the master. */
function sharesOf({ slots }: RedisCluster): Map<string, number> {
  const shares = new Map<string, number>()
  for (const nodes of slots) {
    const name = nodes?.[0]
    if (name !== undefined) shares.set(name, (shares.get(name) ?? 0) + 1)
  }
  return shares
}
