import { Redis } from 'ioredis'

/** Publications between the processes of the servers, without the plugin. */
export interface PubSubEcho {
  /** Publishes once, and waits for the answers. @returns milliseconds until each answer, in order of arrival */
  publish(answers: number): Promise<number[]>
}

const PING = 'bench:ping'
const PONG = 'bench:pong:'

/** Answers publications of other processes over two connections to Redis, as the cache of the plugin has two. */
export async function startPubSubEcho(redisPath: string): Promise<PubSubEcho> {
  const own = String(process.pid)
  const [publisher, subscriber] = [new Redis(redisPath), new Redis(redisPath)]
  let onPong = () => {}
  subscriber.on('message', (channel: string, message: string) => {
    if (channel !== PING) onPong()
    else if (message !== own) void publisher.publish(PONG + message, own)
  })
  await subscriber.subscribe(PING, PONG + own)
  await publisher.ping()

  return {
    publish(answers) {
      return new Promise((resolve) => {
        const roundTripsMs: number[] = []
        const startedAt = performance.now()
        onPong = () => {
          roundTripsMs.push(performance.now() - startedAt)
          if (roundTripsMs.length === answers) resolve(roundTripsMs)
        }
        void publisher.publish(PING, own)
      })
    }
  }
}
