import { isRedisReply } from '../../internal/redact-error.js'
import { type IoRedis, isCluster } from './client.js'
import { wasSentTwice } from './connection.js'

/** Error replies to the first write of a script. Redis does not refuse the later writes of the script. */
const AT_FIRST_WRITE = ['OOM', 'READONLY', 'NOREPLICAS', 'MISCONF']
/** Error replies to a command that has not run. */
const BEFORE_COMMAND = ['LOADING', 'MASTERDOWN', 'BUSY', 'NOAUTH']

/**
 * Whether the error proves that the script has changed nothing and never will. Other error replies, for a missing ACL
 * right or for a key of another type, may stop a script after its first writes.
 */
export function isRefusal(error: unknown, client: IoRedis): boolean {
  if (!isRedisReply(error) || wasSentTwice(error)) return false
  const [word = ''] = error.message.split(' ', 1)
  // A Cluster client repeats a command after a lost connection, so that the error may belong to the second attempt.
  return AT_FIRST_WRITE.includes(word) || (BEFORE_COMMAND.includes(word) && !isCluster(client))
}
