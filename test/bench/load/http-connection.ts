import { connect, type Socket } from 'node:net'

export interface Answer {
  status: number
  /** Header block and body, not parsed. */
  text: string
}

/**
 * A keep-alive connection with one request at a time, on a bare socket: the generator shares a core with Redis, and a
 * general client or autocannon takes more CPU per request than the measured servers.
 */
export class HttpConnection {
  readonly #socket: Socket
  readonly #onAnswer: (answer: Answer) => void
  readonly #onError: (error: Error) => void
  #received = ''
  #isWaiting = false
  /** Resolves when the connection is open. An error goes to `onError` only. */
  readonly opened: Promise<void>

  constructor(port: number, onAnswer: (answer: Answer) => void, onError: (error: Error) => void) {
    this.#onAnswer = onAnswer
    this.#onError = onError
    const onread = { buffer: Buffer.allocUnsafe(65_536), callback: this.#read.bind(this) }
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread })
    this.#socket.on('error', onError)
    this.opened = new Promise((resolve) => this.#socket.once('connect', resolve))
    this.#socket.on('close', () => {
      if (this.#isWaiting) onError(new Error('The server closed the connection'))
    })
  }

  send(request: Buffer): void {
    this.#isWaiting = true
    this.#socket.write(request)
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(length: number, buffer: Uint8Array): boolean {
    this.#received += (buffer as Buffer).toString('latin1', 0, length)
    const answer = readAnswer(this.#received)
    if (answer === 'partial') return true
    this.#received = ''
    if (answer === 'malformed' || !this.#isWaiting) {
      this.#onError(new Error('An answer that the generator cannot read'))
      return false
    }
    this.#isWaiting = false
    this.#onAnswer(answer)
    return true
  }
}

/** Parses only replies with a `Content-Length` or without a body, as the measured servers send. */
function readAnswer(text: string): Answer | 'partial' | 'malformed' {
  const headersEnd = text.indexOf('\r\n\r\n')
  if (headersEnd < 0) return 'partial'
  const length = headersEnd + 4 + Number(CONTENT_LENGTH.exec(text)?.[1] ?? 0)
  if (text.length < length) return 'partial'
  if (text.length > length || !text.startsWith('HTTP/1.1 ')) return 'malformed'
  return { status: Number(text.slice(9, 12)), text }
}

const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i
