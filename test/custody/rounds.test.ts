import t from 'tap'
import { testRounds } from '../fixtures/custody-rounds.js'

t.test('50 rounds with a refresh due lose nothing, with one refresh each', async (t) => testRounds(t, 50, 1))
