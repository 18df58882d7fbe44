import { Child } from '../child.js'
import type { Figures, Job, Said } from './generate.js'

export interface Generator {
  /**
   * Carries out a job.
   * @param onMeasuring called when its warm-up is over
   * @throws Error when an answer is not 2xx: the speed of a refusal is worth nothing
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
        const said = await child.next<Said>()
        if (said === 'measuring') onMeasuring?.()
        else if ('figures' in said) return said.figures
        else throw new Error(said.failure)
      }
    },
    end: () => child.end()
  }
}
