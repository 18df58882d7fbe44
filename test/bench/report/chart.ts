import { grouped } from '../measure/bench.js'
import type { Results, ServerResults } from './results.js'

const WIDTH = 860
const MARGIN = 24
const TITLE_HEIGHT = 64
const ROW_HEIGHT = 30
const BAR_HEIGHT = 18
const LABEL_WIDTH = 300
const BAR_WIDTH = 330
const FOOT_LINE_HEIGHT = 16
const FOOT_HEIGHT = 72

/**
 * Requests per second of each server as an SVG, with a background, because pages may have any color.
 */
export function drawChart({ facts, servers }: Results): string {
  const height = TITLE_HEIGHT + servers.length * ROW_HEIGHT + FOOT_HEIGHT
  const best = Math.max(...servers.map(({ verification }) => verification.perSecond.high))
  const bars = servers.map((server, index) => drawBar(server, TITLE_HEIGHT + index * ROW_HEIGHT, BAR_WIDTH / best))
  const { date, machine, runtimes, method } = facts
  const foot = [`${date}, ${machine}`, runtimes, `${method}; lines from the lowest to the highest round`].map(
    (text, index) => {
      const y = height - FOOT_HEIGHT + 22 + index * FOOT_LINE_HEIGHT
      return `<text class="small" x="${MARGIN}" y="${y}">${escapeXml(text)}</text>`
    }
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">
<title id="title">Verified requests a second, by server</title>
<style>
${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${height}" rx="8"/>
<text class="heading" x="${MARGIN}" y="32">Verified requests a second</text>
<text class="small" x="${MARGIN}" y="51">Share of a Fastify route that verifies nothing, and CPU µs of the Node process above it</text>
${bars.join('\n')}
${foot.join('\n')}
</svg>
`
}

function drawBar({ title, verification }: ServerResults, top: number, scale: number): string {
  const { perSecond, ofBare, cpuMicrosAboveBare } = verification
  const middle = top + BAR_HEIGHT / 2
  const left = MARGIN + LABEL_WIDTH
  const at = (value: number) => (left + value * scale).toFixed(1)
  const width = (perSecond.median * scale).toFixed(1)
  const figures = `${grouped(perSecond.median)} · ${ofBare.median.toFixed(2)} · ${cpuMicrosAboveBare.median.toFixed(1)} µs`
  return [
    `<text x="${left - 10}" y="${middle + 4}" text-anchor="end">${escapeXml(title)}</text>`,
    `<rect class="${kindOf(title)}" x="${left}" y="${top}" width="${width}" height="${BAR_HEIGHT}" rx="2"/>`,
    `<path class="spread" d="M${at(perSecond.low)} ${middle}H${at(perSecond.high)}"/>`,
    `<text x="${(left + perSecond.high * scale + 8).toFixed(1)}" y="${middle + 4}">${figures}</text>`
  ].join('')
}

function kindOf(title: string): string {
  if (title.startsWith('this plugin')) return 'own'
  return title.startsWith('Fastify route') ? 'bare' : 'other'
}

const STYLE = `.page { fill: #ffffff; stroke: #d0d7de }
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.heading { font-size: 16px; font-weight: 600 }
.small { font-size: 11px; fill: #59636e }
.own { fill: #0969da }
.bare { fill: #8c959f }
.other { fill: #c9a26b }
.spread { stroke: #1f2328; stroke-width: 1.5; fill: none }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; stroke: #3d444d }
  text { fill: #f0f6fc }
  .small { fill: #9198a1 }
  .own { fill: #4493f8 }
  .bare { fill: #656c76 }
  .other { fill: #9e7b45 }
  .spread { stroke: #f0f6fc }
}`

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
