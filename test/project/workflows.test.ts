import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'

const folder = '.github/workflows'
const workflows = await Promise.all(
  (await readdir(folder)).map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') }))
)
const release = workflows.find(({ name }) => name === 'release.yml')?.text ?? ''

/** The lines of a job, without comments. */
function jobOf(workflow: string, name: string): string {
  const [, jobs = ''] = workflow.split(/^jobs:\n/m)
  const [, body = ''] = new RegExp(`^ {2}${name}:\n((?: {3,}.*\n|\n| {2}#.*\n)*)`, 'm').exec(jobs) ?? []
  return body.replace(/^ *#.*\n/gm, '')
}

t.test('every action of a workflow is pinned by full commit id, with a version comment', async (t) => {
  const uses = workflows.flatMap(({ name, text }) => [...text.matchAll(/\buses:.*/g)].map(([line]) => ({ name, line })))
  t.ok(uses.length > 0)
  for (const { name, line } of uses) t.match(line, /^uses: [\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, name)
  const versions = new Map<string, Set<string>>()
  for (const { line } of uses) {
    const [action = '', version = ''] = line.replace('uses: ', '').split('@')
    versions.set(action, (versions.get(action) ?? new Set()).add(version))
  }
  for (const [action, { size }] of versions) t.equal(size, 1, `${action} has the same version everywhere`)
})

t.test('dependabot updates the actions', async (t) => {
  t.match(await readFile('.github/dependabot.yml', 'utf8'), /package-ecosystem: github-actions\n {4}directory: \/\n/)
})

t.test('a release publishes the tested tarball, and runs no code of a package', async (t) => {
  const [test, publish] = [jobOf(release, 'test'), jobOf(release, 'publish')]
  const order = ['bash .ci/run', 'npm pkg set --json "repository=', 'npm pack', 'actions/upload-artifact@']
  const places = order.map((step) => test.indexOf(step))
  t.notOk(places.includes(-1), 'the test job packs the tarball')
  t.strictSame(
    places,
    places.toSorted((a, b) => a - b),
    'packing comes after the tests'
  )

  const steps = [...publish.matchAll(/^ {6}- (?:name: .*\n {8})?(uses: [^@\n]+|run: .*)/gm)].map(([, step]) => step)
  t.strictSame(steps, [
    'uses: actions/download-artifact',
    'uses: actions/setup-node',
    'run: npm publish ./*.tgz --ignore-scripts --provenance --access public'
  ])
  t.match(publish, /^ {4}needs: test$/m)
  const artifact = /^ {10}name: (.*)$/m
  t.equal(artifact.exec(publish)?.[1], artifact.exec(test)?.[1], 'both jobs use the same artifact')
  t.match(
    publish,
    /^ {4}permissions:\n {6}id-token: write\n {4}steps:/m,
    'the publish job has only the right to request the identity'
  )
  const rights = workflows.map(({ text }) => text.match(/id-token: write/g)?.length ?? 0)
  t.strictSame(rights.filter(Boolean), [1], 'no other job can request the identity')
})
