import { testGateway } from './contract.js'

testGateway('caddy')
