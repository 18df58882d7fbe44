import { testGateway } from './contract.js'

testGateway('nginx')
