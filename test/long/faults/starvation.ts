/**
 * Returns a function for the milliseconds in which the process was ready to run without a core, as on a busy machine.
 * Computation of the process does not count.
 */
export function watchStarvation(): () => number {
  const loop = performance.eventLoopUtilization()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return Math.max(0, performance.eventLoopUtilization(loop).active - (user + system) / 1_000)
  }
}
