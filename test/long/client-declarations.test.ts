import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { createProgram, typeErrors } from '../fixtures/type-check.js'

const PAGE = `
import { createSessionClient, type EndReason, type SessionSnapshot } from 'fastify-jwt-session/client'

interface User { id: string; name: string }
const session = createSessionClient<User>({ keep: ['theme'], clear: async (reason: EndReason) => console.log(reason) })
const snapshot: SessionSnapshot<User> = session.getSnapshot()
const text: string | null = snapshot.status === 'signed-in' ? snapshot.user.name : null
const answer: Promise<Response> = session.fetch('/orders', { method: 'POST' })
// @ts-expect-error the snapshot of a page without a session has no user
snapshot.user
// @ts-expect-error the option does not exist
createSessionClient({ base: '' })
export { answer, text }
`

t.test('a page without types of Node.js compiles with the declarations of the client alone', async (t) => {
  const folder = join(process.cwd(), '.tap', 'client-types')
  t.teardown(() => rm(folder, { recursive: true }))
  await mkdir(folder, { recursive: true })
  const file = join(folder, 'page.ts')
  await writeFile(file, PAGE)
  for (const [module, moduleResolution] of [
    ['esnext', 'bundler'],
    ['nodenext', 'nodenext']
  ]) {
    const options = {
      noEmit: true,
      strict: true,
      target: 'es2022',
      lib: ['es2022', 'dom'],
      types: [],
      module,
      moduleResolution
    }
    const program = createProgram({ files: [file], options: { ...options, exactOptionalPropertyTypes: true } })
    t.equal(
      typeErrors(program, (path) => !path.includes('/typescript/lib/')),
      '',
      `${moduleResolution}`
    )
    const own = program.getSourceFiles().filter(({ fileName }) => !fileName.includes('/typescript/lib/'))
    t.notOk(
      own.some(({ fileName }) => !/page\.ts$|dist\/client\/[\w-]+\.d\.ts$/.test(fileName)),
      'no declaration of the server is read'
    )
  }
})
