// A server in a process of its own: the options as JSON, then the port.
import { createApp } from './app.js'

const [options = '{}', port = '0'] = process.argv.slice(2)
const app = await createApp(JSON.parse(options))
console.log(await app.listen({ host: '127.0.0.1', port: Number(port) }))
process.once('SIGTERM', async () => {
  const startedAt = performance.now()
  await app.close()
  console.log(`closed in ${Math.round(performance.now() - startedAt)} ms`)
  process.exit()
})
