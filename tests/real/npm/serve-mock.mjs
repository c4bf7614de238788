// Serves mock-ipfs-pinning-service on a free loopback port until standard input ends, so that it never outlives the tests.
//
//   SERVICE_TOKEN=… node serve-mock.mjs DIRECTORY      DIRECTORY holds node_modules
//
// Prints "listening on PORT". Beside the service's own routes, GET /_mock answers all that it holds and was asked:
// {"pins": [PinStatus…], "requests": [[method, url]…]}. The service's own list could not: it pages and filters.

import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const require = createRequire(join(resolve(process.argv[2]), 'package.json'))
const { setup } = require('mock-ipfs-pinning-service')

const app = await setup({ token: process.env.SERVICE_TOKEN, loglevel: 'error' })
const requests = []

const server = createServer((request, response) => {
  if (request.url === '/_mock') {
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ pins: [...app.locals.state.pins.values()], requests }))
    return
  }
  requests.push([request.method, request.url])
  app(request, response)
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`))

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
