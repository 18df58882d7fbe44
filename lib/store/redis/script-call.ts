/** An operation of the script with its arguments, as {@link SCRIPT} lists them. */
export type ScriptCall =
  | [
      'create',
      random: string,
      record: string,
      ttlMs: string,
      startedAt: string,
      max: string,
      onFull: string,
      replaces: string
    ]
  | ['replace', random: string, record: string, next: string]
  | ['finish', random: string, reason: string]
  | ['finishAll', exceptRandom: string, atLeast: string]
  | ['list']
  | ['probe', random: string]
  | ['beat', gapAfterMs: string, failedForMs: string, rememberMs: string]
  | ['ping']

/** In place of `exceptRandom` and `replaces`: no session. */
export const NO_SESSION = ''
/** In place of `atLeast`: a new generation. */
export const NEW_GENERATION = '0'
/** In place of `notAfter`. */
export const NO_DEADLINE = ''
/** A further argument of `finish` and `finishAll`: WAIT follows. */
export const IS_WAITED_FOR = '1'
