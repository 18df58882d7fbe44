// `fastify-jwt-session/testing`: helpers for the tests of an application. The plugin itself imports nothing of this folder.

export { type AssertEndedOptions, assertEnded, assertUnavailable } from './assertions.js'
export { createFakeUpstream, type FakeUpstream, type FakeUpstreamOptions } from './fake-upstream.js'
export type { FakeUpstreamCall, FakeUpstreamPaths, FakeUser } from './fake-upstream-types.js'
export { createFaultyStore, type FaultyStore } from './faulty-store.js'
export { type LoginAsOptions, loginAs, type TestApp, type TestLogin } from './login-as.js'
export type { FetchResponse, InjectedResponse, UndiciResponse } from './read-response.js'
export type { StoreFaults } from './store-faults.js'
