// Starts the engine's wasm in its worker. Trunk does not hash these file names, so the build is carried in the query:
// a page never gets the worker of another build out of a cache.
"use strict";

// Set by the blob the worker was started from (workerUrl in loader.js), or else read from this script's own address.
const base = self.pairtuneBase ?? new URL("./", self.location.href).href;
const query = self.pairtuneQuery ?? self.location.search;

importScripts(`${base}worker.js${query}`);
start().catch((error) => {
  // A rejection stays inside the worker; an error thrown from a timer reaches `onerror` of the page.
  setTimeout(() => {
    throw error;
  });
});

async function start() {
  const response = await fetch(`${base}worker_bg.wasm${query}`);
  if (!response.ok) {
    throw new Error(`${response.url}: ${response.status} ${response.statusText}`);
  }
  // With the right type, whatever the host calls it, the browser compiles while it loads.
  const exports = await wasm_bindgen({ module_or_path: new Response(response.body, { headers: { "content-type": "application/wasm" } }) });
  // For tests, which ask how large it has become.
  const asked = new BroadcastChannel("pairtune-memory");
  asked.onmessage = () => asked.postMessage(exports.memory.buffer.byteLength);
}
