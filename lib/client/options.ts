import type { SessionClientOptions } from './types.js'

/** Options with their defaults. */
export interface ClientConfig {
  baseUrl: string
  prefix: string
  transport: string
  name: string
  keep: readonly string[]
  clear?: SessionClientOptions['clear']
  loginUrl?: string
  events: boolean
}

/** Of each option the default, and the form of its text, or of the type of any other value after a colon. */
const OPTIONS: Record<string, [unknown, RegExp]> = {
  baseUrl: ['', /^https?:\/\/[^/]+$/],
  prefix: ['/user', /^(\/[^/?#]+)*$/],
  transport: ['bearer', /^cookie$/],
  name: ['session', /^[\w-]+$/],
  keep: [[], /^:array$/],
  clear: [undefined, /^:function$/],
  // `location.replace()` would run `javascript:`.
  loginUrl: [undefined, /^(https?:|[^:]*([/?#]|$))/],
  events: [true, /^:boolean$/]
}

/**
 * Checks the options and fills in the defaults.
 *
 * @throws TypeError that names a wrong or unknown option
 */
export function resolveOptions(options: Record<string, unknown>): ClientConfig {
  const config: Record<string, unknown> = {}
  for (const name of Object.keys({ ...OPTIONS, ...options })) {
    const [byDefault, form] = OPTIONS[name] ?? []
    const value = options[name] ?? byDefault
    const text = typeof value === 'string' ? value : `:${Array.isArray(value) ? 'array' : typeof value}`
    if (value !== byDefault && !form?.test(text)) throw new TypeError(`The \`${name}\` option is not valid`)
    config[name] = value
  }
  return config as unknown as ClientConfig
}
