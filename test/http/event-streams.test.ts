import t from 'tap'
import { EventStreams } from '../../lib/http/event-streams.js'

t.test('a stream is closed when the client does not read', async (t) => {
  const streams = new EventStreams({ heartbeatSeconds: 25, maxOpen: 10 })
  let closed = 0
  const stream = streams.open('ada', () => closed++)
  while (!stream.destroyed) stream.send('session', JSON.stringify({ text: 'x'.repeat(1_000) }))
  t.ok(stream.readableLength < 20_000)
  stream.send('ended', '{}')
  await new Promise(setImmediate)
  t.equal(closed, 1)
})

t.test('no byte is written after the end of a stream', async (t) => {
  const streams = new EventStreams({ heartbeatSeconds: 25, maxOpen: 10 })
  const stream = streams.open('ada', () => {})
  stream.send('ended', '{}')
  streams.end()
  let received = ''
  for await (const chunk of stream) received += chunk
  stream.write(':\n\n')
  t.equal(received, 'event: ended\ndata: {}\n\n')
})

t.test('an event after the end of a stream is dropped, also before the client has read the end', async (t) => {
  const streams = new EventStreams({ heartbeatSeconds: 25, maxOpen: 10 })
  const stream = streams.open('ada', () => {})
  stream.send('session', '{}')
  streams.end()
  stream.send('ended', '{}')
  let received = ''
  for await (const chunk of stream) received += chunk
  t.equal(received, 'event: session\ndata: {}\n\n')
})
