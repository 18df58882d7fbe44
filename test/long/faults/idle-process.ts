// An app of the idle part, as a separate process: options as JSON in, the URL of a guarded route out.
import { withTeardown } from '../../fixtures/with-teardown.js'
import { createSessionApp } from './subject.js'

await withTeardown(async (t) => {
  const { app } = await createSessionApp(t, JSON.parse(process.argv[2] ?? '{}'))
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  console.log(`${url}/me`)
  // Ends when the parent ends.
  await new Promise((resolve) => process.stdin.on('end', resolve).resume())
})
