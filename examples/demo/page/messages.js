// Messages to the user.

const END_MESSAGES = new Map([
  ['logged_out', 'You logged out.'],
  ['expired', 'The session expired, without activity for a while or at the end of its lifetime.'],
  ['revoked', 'The session was ended from another device or by an administrator.'],
  ['replaced', 'A newer login took the place of the session: the number of sessions per user is limited.'],
  ['logged_in_again', 'You logged in again in another tab.'],
  ['invalid_token', 'The server did not accept the token: damaged, or signed with another secret.'],
  ['login_needed', 'The server has changed and needs a new login.'],
  ['unknown', 'The server no longer has the session: expired long ago, or lost.']
])

/** The message for the reason of an end. */
export function endMessage(reason) {
  return END_MESSAGES.get(reason) ?? `The server gave the reason “${reason}”.`
}

/** The message for the status of a failed login or registration. */
export function failureMessage(status) {
  if (status === 0) return 'The server cannot be reached.'
  if (status === 409) return 'This user name is taken.'
  if (status === 400 || status === 422)
    return 'The server did not accept the account: a password has at least 8 characters.'
  if (status === 429) return 'Too many attempts. Wait a little.'
  return 'The server cannot do this right now. Try again in a moment.'
}
