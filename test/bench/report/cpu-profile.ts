import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { markdownTable } from '../../fixtures/markdown-table.js'

/** The used part of V8's CPU profile. */
interface CpuProfile {
  nodes: { id: number; callFrame: CallFrame; children?: number[] }[]
  samples: number[]
  /** Microseconds. */
  timeDeltas: number[]
  startTime: number
  endTime: number
}

interface CallFrame {
  functionName: string
  url: string
  lineNumber: number
}

/** Microseconds by name. */
type Sums = Map<string, number>

const SHOWN = 15
const SHOWN_OF_PLUGIN = 25

/** Reads the profile of the main thread. The TypeScript loader has a separate profile. */
export async function readProfile(folder: string): Promise<CpuProfile> {
  const profiles = await Promise.all(
    (await readdir(folder)).map(async (file) => JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile)
  )
  const ofMain = profiles.find(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.includes('/fastify.js')))
  const ofServer =
    ofMain ?? profiles.find(({ nodes }) => nodes.some(({ callFrame }) => callFrame.url.includes('serve.ts')))
  if (ofServer === undefined) throw new Error('There is no profile of the server')
  return ofServer
}

/** Prints microseconds per request by file, by function, and by function of the plugin with all that it calls. */
export function showProfile(profile: CpuProfile, { requests, seconds }: { requests: number; seconds: number }): void {
  const { nodes, samples, timeDeltas, startTime, endTime } = profile
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const [byFile, byFunction, withCalls]: [Sums, Sums, Sums] = [new Map(), new Map(), new Map()]
  let time = startTime
  for (const [index, id] of samples.entries()) {
    const micros = timeDeltas[index] ?? 0
    time += micros
    const frame = frames.get(id)
    // The load is at the end of the profile, after the start and a warm-up.
    if (frame === undefined || frame.functionName === '(idle)' || time < endTime - seconds * 1e6) continue
    add(byFile, fileOf(frame), micros)
    add(byFunction, nameOf(frame), micros)
    for (const name of pluginFunctionsOn(id)) add(withCalls, name, micros)
  }
  print('file', byFile, { requests, shown: SHOWN })
  print('function', byFunction, { requests, shown: SHOWN })
  if (withCalls.size > 0) print('function of the plugin, with calls', withCalls, { requests, shown: SHOWN_OF_PLUGIN })

  /** The names of the plugin's functions on the stack, each once. */
  function pluginFunctionsOn(id: number): Set<string> {
    const names = new Set<string>()
    for (let node: number | undefined = id; node !== undefined; node = parents.get(node)) {
      const frame = frames.get(node)
      if (frame !== undefined && fileOf(frame).startsWith('dist/')) names.add(nameOf(frame))
    }
    return names
  }
}

function add(sums: Sums, key: string, micros: number): void {
  sums.set(key, (sums.get(key) ?? 0) + micros)
}

function print(title: string, sums: Sums, { requests, shown }: { requests: number; shown: number }): void {
  const inOrder = [...sums].toSorted(([, a], [, b]) => b - a)
  const rows = inOrder.slice(0, shown).map(([key, micros]) => [key, (micros / requests).toFixed(2)])
  const all = inOrder.reduce((sum, [, micros]) => sum + micros, 0)
  // Functions with calls contain each other.
  const last = title.endsWith('calls') ? [] : [['all', (all / requests).toFixed(2)]]
  console.log(`${markdownTable([title, 'µs'], [...rows, ...last])}\n`)
}

function nameOf(frame: CallFrame): string {
  return `${frame.functionName || '(anonymous)'} ${fileOf(frame)}:${frame.lineNumber + 1}`
}

/** The path below the folder of the repository, or of another clone. */
function fileOf({ url }: CallFrame): string {
  return (
    /\/((?:test\/bench\/(?:node_modules\/)?|node_modules\/|dist\/(?!.*node_modules)).*)$/.exec(url)?.[1] ??
    (url || '(native)')
  )
}
