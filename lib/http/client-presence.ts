import type { ServerResponse } from 'node:http'
import { ClientGoneError } from '../errors.js'
import type { AnyReply } from './error-reply.js'

/** Whether the client of a request still waits for the answer that is being made. */
export interface ClientPresence {
  /** True once the connection has closed, or the host has begun to answer: what is being made is not sent. */
  readonly isGone: boolean
  /** Calls the listener when the connection closes, unless it has closed before: see `isGone`. */
  onGone(listener: () => void): void
}

/** The answer to one request, from the time that it is being made until it is out. */
export interface AnswerWatch extends ClientPresence {
  /** `performance.now()` when the watch began. */
  readonly startedAt: number
  /** Whether the host has answered, or has begun to: a timer of the application, or the `handlerTimeout` of Fastify. */
  readonly isAnswered: boolean
  /**
   * Calls `undo` once the answer is out, or the connection has closed, unless the one answer that was sent since the watch
   * began is a good one (below 400). Two answers are none: which of them the client got, after the hooks of the host, is not
   * known. For what must not stay when no client has it.
   */
  undoUnlessSent(undo: () => void): void
}

/** Watches a request that has not been answered yet. */
export function watchAnswer(reply: AnyReply): AnswerWatch {
  return new ReplyWatch(reply)
}

/**
 * Runs the handler of a route that takes its time, and sends what it makes, unless the host has answered meanwhile: of two
 * answers the status of one and the body of the other might go out.
 */
export async function answerOnce<T>(
  reply: AnyReply,
  handle: (watch: AnswerWatch) => Promise<T>
): Promise<T | AnyReply> {
  const watch = watchAnswer(reply)
  try {
    return await handle(watch)
  } catch (error) {
    if (watch.isAnswered) return reply
    throw error
  }
}

class ReplyWatch implements AnswerWatch {
  readonly startedAt = performance.now()
  readonly #reply: AnyReply
  /** Calls of `reply.send()`. An answer waits in the `onSend` hooks of the host, and `reply.sent` is false until it is out. */
  #sends = 0

  constructor(reply: AnyReply) {
    this.#reply = reply
    const send = reply.send.bind(reply)
    reply.send = (payload?: unknown) => {
      // It would change the status of the answer that is under way.
      if (this.isAnswered && payload instanceof ClientGoneError) return reply
      this.#sends++
      return send(payload)
    }
  }

  get isAnswered(): boolean {
    // Where the watch begins late, the status shows an answer that waits in a hook.
    return this.#sends > 0 || this.#reply.sent || this.#reply.statusCode >= 400
  }

  get isGone(): boolean {
    return this.isAnswered || isClosed(this.#reply.raw)
  }

  onGone(listener: () => void): void {
    this.#reply.raw.once('close', listener)
  }

  undoUnlessSent(undo: () => void): void {
    const { raw } = this.#reply
    let isSettled = false
    const settle = () => {
      if (isSettled) return
      isSettled = true
      // Not `writableFinished`: under HTTP/2 that is true of an answer that was never sent.
      const isGood = raw.writableEnded && raw.statusCode < 400 && this.#sends < 2
      if (!isGood) undo()
    }
    raw.once('finish', settle)
    raw.once('close', settle)
  }
}

/** Of a client that is taken to be there, for what is done also when the client has gone. */
export const ALWAYS_THERE: ClientPresence = { isGone: false, onGone() {} }

/** Under HTTP/2 only the stream knows. */
function isClosed(raw: AnyReply['raw']): boolean {
  const { destroyed, stream } = raw as ServerResponse & { stream?: { destroyed: boolean } }
  return destroyed || stream?.destroyed === true
}
