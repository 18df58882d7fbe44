import { Child } from '../child.js'
import type { Figures, GeneratorMessage, Job } from './generate.js'

export interface Generator {
  /**
   * Runs a job.
   * @param probe called when the connections are open and warm, and again after the last reply, before the connections
   *   close
   * @throws Error when a reply has another status than the job expects, because the speed of such replies is irrelevant
   */
  run(job: Partial<Job> & Pick<Job, 'port' | 'requests'>, probe?: () => Promise<void>): Promise<Figures>
  end(): Promise<void>
}

export function startGenerator(connections: number, core: number | undefined): Generator {
  const child = new Child({ file: 'load/generate', core })
  const defaults = { connections, warmUpSeconds: 0, seconds: null, status: null, keepAnswers: false }
  return {
    async run(job, probe) {
      child.send({ ...defaults, ...job } satisfies Job)
      for (;;) {
        const message = await child.next<GeneratorMessage>()
        if (message !== 'ready' && 'failure' in message) throw new Error(message.failure)
        await probe?.()
        child.send({})
        if (message !== 'ready') return message.figures
      }
    },
    end: () => child.end()
  }
}
