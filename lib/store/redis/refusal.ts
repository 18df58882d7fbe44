import { isRedisReply } from '../../internal/redact-error.js'
import { type IoRedis, isCluster } from './client.js'
import { wasSentTwice } from './connection.js'

/** Replies to the first write of a script. Later writes of the script are not refused. */
const TO_FIRST_WRITE = ['OOM', 'READONLY', 'NOREPLICAS', 'MISCONF']
/** Replies to a command that was not run. */
const TO_COMMAND = ['LOADING', 'MASTERDOWN', 'BUSY', 'NOAUTH']

/**
 * Whether the error is a reply after which nothing of the script has happened and nothing will. Not every reply is: an ACL
 * that lacks a right, or a key of another type, stops a script after its first writes.
 */
export function isRefusal(error: unknown, client: IoRedis): boolean {
  if (!isRedisReply(error) || wasSentTwice(error)) return false
  const [word = ''] = error.message.split(' ', 1)
  // A Cluster client sends a command again when its connection was cut, and another reply may be that of the second time.
  return TO_FIRST_WRITE.includes(word) || (TO_COMMAND.includes(word) && !isCluster(client))
}
