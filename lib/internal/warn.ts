/** Warns the operator of settings that work but are probably not intended, through `process.emitWarning()`. */
export function warn(code: `FST_JWT_SESSION_${string}`, text: string): void {
  process.emitWarning(text, { type: 'JwtSessionWarning', code })
}
