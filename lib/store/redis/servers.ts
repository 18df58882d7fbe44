import { isCluster, type RedisClient, type RedisCluster } from './client.js'
import { masterOf, tagOnServer } from './cluster-slots.js'

/** A server that holds sessions. */
export interface SessionServer {
  /** `host:port` of a Cluster master; of one server `''`. */
  name: string
  /** A tag of no user, whose keys are on this server. */
  tag: string
  /** How many of the slots of a Cluster it has; of one server 1. */
  share: number
}

/** The servers behind a client: the masters of a Cluster that own slots, or one. */
export interface Servers {
  /** The name of the server that holds the sessions of the user with this tag; `''` while the client does not know. */
  serverOf(tag: string): string
  /** All servers, as far as the client knows. */
  all(): SessionServer[]
}

const ONE: SessionServer = { name: '', tag: '0', share: 1 }

/** The servers behind this client, at any time. */
export function createServers(client: RedisClient): Servers {
  if (!isCluster(client)) return { serverOf: () => ONE.name, all: () => [ONE] }
  return {
    serverOf: (tag) => masterOf(client, tag),
    // By the slots: the client drops a node whose connection is cut, and its users are missing all the same.
    all: () => Array.from(sharesOf(client), ([name, share]) => ({ name, tag: tagOnServer(client, name), share }))
  }
}

/** How many slots each master owns, by its name. */
function sharesOf({ slots }: RedisCluster): Map<string, number> {
  const shares = new Map<string, number>()
  for (const nodes of slots) {
    const name = nodes?.[0]
    if (name !== undefined) shares.set(name, (shares.get(name) ?? 0) + 1)
  }
  return shares
}
