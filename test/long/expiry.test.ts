process.env.EXPIRING_SESSIONS = '10000'
await import('../sessions/expiry.test.js')
