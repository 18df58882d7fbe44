import { Child } from '../child.js'
import type { Figures, GeneratorMessage, Job } from './generate.js'

export interface Generator {
  /**
   * Runs a job.
   * @param onMeasuring called after the warm-up
   * @throws Error when a reply is not 2xx, because the speed of error replies is irrelevant
   */
  run(job: Partial<Job> & Pick<Job, 'port' | 'requests'>, onMeasuring?: () => void): Promise<Figures>
  end(): Promise<void>
}

export function startGenerator(connections: number, core: number | undefined): Generator {
  const child = new Child({ file: 'load/generate', core })
  return {
    async run(job, onMeasuring) {
      child.send({ connections, warmUpSeconds: 0, seconds: null, keepAnswers: false, ...job } satisfies Job)
      for (;;) {
        const message = await child.next<GeneratorMessage>()
        if (message === 'measuring') onMeasuring?.()
        else if ('figures' in message) return message.figures
        else throw new Error(message.failure)
      }
    },
    end: () => child.end()
  }
}
