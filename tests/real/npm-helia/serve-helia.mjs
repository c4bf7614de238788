// Serves Helia's pinning service on a free loopback port until standard input ends, so that it never outlives the tests.
//
//   SERVICE_TOKEN=… CONTENT=http://127.0.0.1:5001 node serve-helia.mjs DIRECTORY      DIRECTORY holds node_modules
//
// Helia runs without libp2p: blocks come from the Kubo node whose RPC is at CONTENT. A block that this node does not have
// makes the pin fail, as content without a provider does. What is pinned is kept in memory.
//
// Prints "listening on PORT". Beside the service's own routes, GET /_helia answers all that it holds and was asked:
// {"pins": [PinStatus…], "blocks": [CID…], "requests": [[method, url]…]}.

import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

Promise.withResolvers ??= function () { // Node 22 has it; Helia's dependencies want it
  let resolve, reject
  const promise = new this((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const packages = resolve(process.argv[2], 'node_modules')
const load = name => import(pathToFileURL(join(packages, name)).href)
const { Helia } = await load('@helia/utils/dist/src/index.js')
const { createPinningServiceAPIServer } = await load('@helia/pinning-service-api-server/dist/src/index.js')
const { MemoryDatastore } = await load('datastore-core/dist/src/index.js')
const { MemoryBlockstore } = await load('blockstore-core/dist/src/index.js')
const { default: fastify } = await load('fastify/fastify.js')
const cborg = await load('cborg/cborg.js')

const datastore = new MemoryDatastore()
const blockstore = new MemoryBlockstore()
const libp2p = { getMultiaddrs: () => [], dial: async () => {}, start: async () => {}, stop: async () => {} }

const fromKubo = () => ({
  retrieve: async (cid, { validateFn, signal } = {}) => {
    const answer = await fetch(`${process.env.CONTENT}/api/v0/block/get?arg=${cid}&timeout=2s`, { method: 'POST', signal })
    if (!answer.ok) throw new Error(await answer.text())
    const block = new Uint8Array(await answer.arrayBuffer())
    await validateFn?.(block)
    return block
  }
})

const helia = new Helia({ libp2p, datastore, blockstore, blockBrokers: [fromKubo], routers: [{ provide: async () => {} }] })
await helia.start()

const everything = async () => {
  const pins = []
  for await (const { value } of datastore.query({ prefix: '/pinning-service' })) {
    const { id, status, created, pin } = cborg.decode(value)
    pins.push({ requestid: id, status, created: new Date(created).toISOString(), pin })
  }
  const blocks = []
  for await (const { cid } of helia.pins.ls()) blocks.push(String(cid))
  return { pins, blocks, requests }
}

const requests = []
const app = fastify()
app.addHook('onRequest', async (request, reply) => {
  if (request.url === '/_helia') return reply.send(await everything()) // here, before a token is asked for
  requests.push([request.method, request.url])
})
await createPinningServiceAPIServer(helia, {
  fastify: app,
  listen: { port: 0, host: '127.0.0.1' },
  validateAccessToken: async token => {
    if (token !== process.env.SERVICE_TOKEN) throw new Error('no such token')
    return { id: 'tests' }
  }
})
console.log(`listening on ${app.server.address().port}`)

process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
