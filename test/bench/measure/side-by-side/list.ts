import { credentialOf, loginRequests, toRequest } from '../../load/requests.js'
import type { RunningServer } from '../../running-server.js'
import type { Bench } from '../bench.js'
import { BATCH, type Comparison, measureSubjects, newBatches } from './comparison.js'

const SESSIONS_PER_USER = 3

/** Compares the list of a user's sessions with the same reply of a route that reads and verifies nothing. */
export async function compareList(bench: Bench, own: RunningServer, bare: RunningServer): Promise<Comparison> {
  const { generator } = bench
  const logins = loginRequests(BATCH * SESSIONS_PER_USER, (index) => `list-${index % BATCH}`)
  const { answers } = await generator.run({ port: own.port, requests: logins, keepAnswers: true })
  const requests = answers
    .slice(-BATCH)
    .map((answer) => toRequest('GET', '/user/sessions', credentialOf(answer, own.tokenHeader)))

  const lengths: number[] = []
  for (const { port } of [own, bare]) {
    const { answers: lists } = await generator.run({ port, requests: requests.slice(0, 1), keepAnswers: true })
    lengths.push(lists[0]?.length ?? 0)
  }
  const [length = 0, lengthOfBare = 0] = lengths
  if (length !== lengthOfBare) {
    throw new Error(`The list has ${length} bytes, the reply of the bare server ${lengthOfBare}`)
  }

  const subjects = [
    { server: own, batches: newBatches(own.title), requests },
    { server: bare, batches: newBatches('the same reply, nothing verified or read'), requests }
  ] as const
  await measureSubjects(bench, subjects)
  const title = `list of ${SESSIONS_PER_USER} sessions`
  return { title, own: subjects[0].batches, other: subjects[1].batches, goal: null }
}
