// What the page says to its user.

const WHY_ENDED = new Map([
  ['logged_out', 'You logged out.'],
  ['expired', 'It expired: it was not used for a while, or had lived as long as a session may.'],
  ['revoked', 'It was ended from another of your devices, or by an administrator.'],
  ['replaced', 'A newer login took its place: only so many may be open at once.'],
  ['invalid_token', 'The server did not accept the token: it was damaged, or signed with another secret.'],
  ['unknown', 'The server no longer has it: it was not used for a long time, or the server has lost it.']
])

/** Why the session has ended, from its `Session-Ended` header. */
export function whyEnded(reason) {
  return WHY_ENDED.get(reason) ?? `The server gave the reason “${reason}”.`
}

/** Why a login or a registration did not go well. */
export function inWords(status) {
  if (status === 0) return 'The server cannot be reached.'
  if (status === 409) return 'This user name is taken.'
  if (status === 400 || status === 422) return 'This was not accepted: a password has at least 8 characters.'
  if (status === 429) return 'Too many tries. Wait a little.'
  return 'This does not work right now. Try again in a moment.'
}
