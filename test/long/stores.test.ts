process.env.STORE_MODEL_SCENES ??= '60'
await import('../store/model.test.js')
