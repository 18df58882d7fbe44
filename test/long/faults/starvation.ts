/**
 * Milliseconds since now that this process wanted to run and others had its place: on a machine with too much to do they
 * are in every answer's time. What the process itself has computed meanwhile is not among them.
 */
export function watchStarvation(): () => number {
  const loop = performance.eventLoopUtilization()
  const cpu = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(cpu)
    return Math.max(0, performance.eventLoopUtilization(loop).active - (user + system) / 1_000)
  }
}
