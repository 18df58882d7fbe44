/** Tells the operator of what works and yet is probably not what he wants. `process.on('warning')` sees it too. */
export function warn(code: `FST_JWT_SESSION_${string}`, text: string): void {
  process.emitWarning(text, { type: 'JwtSessionWarning', code })
}
