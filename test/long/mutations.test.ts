process.env.TOKEN_MUTANTS = '5000'
await import('../token/mutations.test.js')
