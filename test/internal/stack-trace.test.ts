import t from 'tap'
import { SessionEndedError } from '../../lib/errors.js'
import { PlainCause } from '../../lib/internal/redact-error.js'
import { restoreStackTraces, stopStackTraces } from '../../lib/internal/stack-trace.js'

t.test('between stop and restore no error collects a stack trace, and afterwards every error does', async (t) => {
  const before = Error.stackTraceLimit
  t.not(before, 0)
  const limit = stopStackTraces()
  t.equal(limit, before)
  t.equal(new Error('inside').stack, 'Error: inside')
  restoreStackTraces(limit)
  t.match(new Error('outside').stack, /\n {4}at /)
})

t.test('the errors of this package leave the limit of the application unchanged', async (t) => {
  const { stackTraceLimit } = Error
  t.equal(new PlainCause('a cause').stack, 'PlainCause: a cause')
  t.notMatch(new SessionEndedError('expired').stack, /\n/)
  t.equal(Error.stackTraceLimit, stackTraceLimit)
})
