/** Warns the operator of settings that work and are probably not intended. `process.on('warning')` gets the warning too. */
export function warn(code: `FST_JWT_SESSION_${string}`, text: string): void {
  process.emitWarning(text, { type: 'JwtSessionWarning', code })
}
