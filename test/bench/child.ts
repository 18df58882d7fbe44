import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface ChildOptions {
  /** A file of the package, without the extension. */
  file: string
  args?: string[]
  nodeOptions?: string[]
  core: number | undefined
}

/** A file of the package in a separate Node.js process, which uses IPC and ends with the parent. */
export class Child {
  readonly #process: ChildProcess
  readonly #messages: unknown[] = []
  #ended: Error | undefined
  #wake = () => {}

  constructor({ file, args = [], nodeOptions = [], core }: ChildOptions) {
    const path = fileURLToPath(new URL(`${file}.ts`, import.meta.url))
    const command = [process.execPath, ...nodeOptions, '--import', import.meta.resolve('tsx'), path, ...args]
    const [program = '', ...rest] = core === undefined ? command : ['taskset', '--cpu-list', String(core), ...command]
    this.#process = spawn(program, rest, {
      env: { ...process.env, NODE_ENV: 'production' },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      serialization: 'advanced'
    })
    this.#process.on('message', (message) => {
      this.#messages.push(message)
      this.#wake()
    })
    this.#process.on('exit', (code) => {
      this.#ended = new Error(`${[file, ...args].join(' ')} ended with ${code}`)
      this.#wake()
    })
  }

  send(message: object): void {
    this.#process.send(message)
  }

  /** @throws Error when the process has ended */
  async next<Message>(): Promise<Message> {
    while (this.#messages.length === 0) {
      if (this.#ended !== undefined) throw this.#ended
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#messages.shift() as Message
  }

  async end(): Promise<void> {
    if (this.#ended !== undefined) return
    const exit = once(this.#process, 'exit')
    if (this.#process.connected) this.#process.disconnect()
    await exit
  }
}
