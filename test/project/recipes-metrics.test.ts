import { metrics } from '@opentelemetry/api'
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from '@opentelemetry/sdk-metrics'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { logIn } from '../fixtures/app.js'
import { codeOf, runRecipe, sendWith } from '../fixtures/recipes.js'

/** The names of users who log in, which no label may have. */
const USERS = ['ada-lovelace', 'grace-hopper']

/** Two logins, one rejected login, and verifications of one route by several URLs. */
async function visit(app: FastifyInstance): Promise<void> {
  for (const user of USERS) {
    const send = sendWith(app, await logIn(app, user))
    for (const url of ['/user/session?page=1', '/user/session?page=2']) await send({ url })
  }
  await app.inject('/user/session')
  await app.inject({ method: 'POST', url: '/user/login', payload: { username: USERS[0], password: 'wrong' } })
}

t.test('the recipes are short', async (t) => {
  for (const heading of ['Prometheus', 'OpenTelemetry']) {
    t.ok(codeOf(heading).trim().split('\n').length <= 25, heading)
  }
})

t.test('prom-client counts verifications by outcome and route, and logins by outcome', async (t) => {
  const { app } = await runRecipe(t, 'Prometheus')
  await visit(app)
  const { body } = await app.inject('/metrics')
  const lines = body.split('\n').filter((line) => line.startsWith('session_') && !line.includes('_bucket'))
  const values = lines.filter((line) => !line.includes('_sum'))
  t.strictSame(values.toSorted(), [
    'session_logins_total{outcome="ok"} 2',
    'session_logins_total{outcome="rejected"} 1',
    'session_pending_calls{of="store"} 0',
    'session_pending_calls{of="upstream"} 0',
    'session_verify_seconds_count{outcome="missing",route="/user/session"} 1',
    'session_verify_seconds_count{outcome="ok",route="/user/session"} 4'
  ])
  for (const user of USERS) t.notOk(body.includes(user))
})

t.test('the OpenTelemetry API gets the same', async (t) => {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })
  const provider = new MeterProvider({ readers: [reader] })
  metrics.setGlobalMeterProvider(provider)
  t.teardown(() => provider.shutdown())
  t.teardown(() => metrics.disable())
  const { app } = await runRecipe(t, 'OpenTelemetry')
  await visit(app)
  await provider.forceFlush()
  const exported = exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
  const points = exported.map((metric) => {
    const values = metric.dataPoints.map(({ attributes, value }) => ({
      ...attributes,
      value: metric.dataPointType === DataPointType.HISTOGRAM ? (value as { count: number }).count : value
    }))
    return [metric.descriptor.name, values]
  })
  t.strictSame(Object.fromEntries(points), {
    'fastify_jwt_session.verify.duration': [
      { outcome: 'ok', 'http.route': '/user/session', value: 4 },
      { outcome: 'missing', 'http.route': '/user/session', value: 1 }
    ],
    'fastify_jwt_session.logins': [
      { outcome: 'ok', value: 2 },
      { outcome: 'rejected', value: 1 }
    ],
    'fastify_jwt_session.pending_calls': [
      { of: 'store', value: 0 },
      { of: 'upstream', value: 0 }
    ]
  })
  const text = JSON.stringify(exported)
  for (const user of USERS) t.notOk(text.includes(user))
})
