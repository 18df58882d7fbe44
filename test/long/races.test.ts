process.env.RACE_ROUNDS = '1000'
await import('../sessions/races.test.js')
