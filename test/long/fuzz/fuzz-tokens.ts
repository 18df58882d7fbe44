import { setImmediate } from 'node:timers/promises'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { createFuzzedApp, type FuzzedApp, MODES, type Mode } from './fuzzed-app.js'
import { headerValueOf, tokenIn } from './header-values.js'
import { createRandom } from './random.js'
import { forgedMutations, signedMutations } from './signed-mutations.js'
import { spellingMutations } from './spelling-mutations.js'

/** The cases of a run. */
export interface Cases {
  seed: number
  count: number
  /** Index of the first case, to repeat a failed case. Default 0. */
  first?: number | undefined
}

/** The results for a kind of mutant. */
export interface TokenTally {
  sent: number
  refused: number
  /** Mutants that equal an issued token of a live session. */
  issued: number
}

export interface FuzzResult<Tally> {
  tallies: Map<string, Tally>
  /** Failures, with the arguments that repeat the case. */
  failures: string[]
}

const MUTATIONS = { ...spellingMutations, ...forgedMutations, ...signedMutations }
const KINDS = Object.keys(MUTATIONS)
/** Kinds without a signature of the app. A logout with a signed token ends the session, whatever the claims are. */
const MAY_LOG_OUT = new Set(Object.keys({ ...spellingMutations, ...forgedMutations }))
const ROUND = 750
const TURN = 50
const MAX_FAILURES = 10

/** Sends mutants of tokens, a third of them in each mode, to a guarded route and some to the logout. */
export async function fuzzTokens(t: Watched, { seed, count, first = 0 }: Cases): Promise<FuzzResult<TokenTally>> {
  const result: FuzzResult<TokenTally> = {
    tallies: new Map(KINDS.map((kind) => [kind, { sent: 0, refused: 0, issued: 0 }])),
    failures: []
  }
  for (const mode of MODES) {
    await fuzzInMode(mode, await createFuzzedApp(t, mode), { seed, from: first, to: first + count, result })
  }
  return result
}

interface Part {
  seed: number
  from: number
  to: number
  result: FuzzResult<TokenTally>
}

async function fuzzInMode(mode: Mode, fuzzed: FuzzedApp, { seed, from, to, result }: Part): Promise<void> {
  const fail = (text: string) => result.failures.push(`${mode}, --seed ${seed} --first ${text}`)

  async function present(index: number): Promise<void> {
    for (const wrong of await fuzzed.presentIssued()) fail(`up to ${index}: ${wrong}`)
  }

  for (let index = from; index < to && result.failures.length < MAX_FAILURES; index++) {
    if (mode !== 'never seen' && (index - from) % ROUND === 0) await present(index)
    // The index alone chooses the mode, so that `--first` repeats a failed case in the same mode.
    if (MODES[index % MODES.length] !== mode) continue
    // Injected requests may need no turn of the event loop, and deferred work would pile up.
    if (index % TURN === 0) await setImmediate()
    const runsBefore = fuzzed.handlerRuns
    const { kind, outcome, sent } = await sendMutant(fuzzed, seed, index)
    const tally = result.tallies.get(kind) as TokenTally
    tally.sent++
    if (outcome === 'refused') tally.refused++
    else if (outcome === 'issued') tally.issued++
    else fail(`${index} (${kind}): ${outcome} for ${JSON.stringify(sent)}`)
    if (outcome === 'refused' && fuzzed.handlerRuns > runsBefore) fail(`${index} (${kind}): the handler ran`)
  }
  // The sessions must still be live.
  await present(to)
}

async function sendMutant({ app, issued }: FuzzedApp, seed: number, index: number) {
  const random = createRandom(seed, index)
  const kind = random.pick(KINDS)
  const mutant = MUTATIONS[kind]?.(random.pick(issued), random, issued) ?? ''
  const sent = headerValueOf(mutant, random)
  const token = tokenIn(sent)
  const live = issued.find((known) => known.isLive && known.token === token)
  const isLogout = random.oneIn(20) && live === undefined && MAY_LOG_OUT.has(kind)

  const headers = { authorization: sent }
  const answer = await app.inject(isLogout ? { method: 'POST', url: '/user/logout', headers } : { url: '/me', headers })
  const { statusCode, body } = answer
  const isRight =
    (isLogout && statusCode === 204) ||
    (live !== undefined && statusCode === 200 && body === live.session.user.id) ||
    (!isLogout && live === undefined && statusCode === 401 && REFUSALS.test(body))
  const outcome = !isRight ? `${statusCode} ${body}` : live === undefined ? 'refused' : 'issued'
  return { kind, sent, outcome }
}

const REFUSALS =
  /^\{"statusCode":401,"code":"FST_JWT_SESSION_(?:MISSING|ENDED)","error":"Unauthorized","message":"[\w ]+"(?:,"reason":"(?:invalid_token|expired|logged_out|revoked|unknown)")?\}$/
