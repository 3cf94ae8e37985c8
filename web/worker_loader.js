// Starts the engine's wasm in its worker. Trunk does not hash these file names, so the build is carried in the query:
// a page never gets the worker of another build out of a cache.
"use strict";

// Set by the blob the worker was started from (workerUrl in loader.js), or else read from this script's own address.
const base = self.pairtuneBase ?? new URL("./", self.location.href).href;
const query = self.pairtuneQuery ?? self.location.search;

if (/Firefox\//.test(navigator.userAgent) && self.GPUQueue) {
  hurryReadbacks();
}
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

// Firefox looks for work that the GPU has done every 100 ms, and whenever something is submitted (its bug 1870699): a
// token, which is read back, would take 100 ms. So while something is read, nothing is submitted again and again; ever
// more seldom, for what takes long may wait a little longer, and each time costs.
function hurryReadbacks() {
  const { submit } = GPUQueue.prototype;
  const { mapAsync } = GPUBuffer.prototype;
  let queue;
  GPUQueue.prototype.submit = function (commands) {
    queue = this;
    return submit.call(this, commands);
  };
  GPUBuffer.prototype.mapAsync = function (...range) {
    const mapped = mapAsync.apply(this, range);
    let waiting = true;
    const stop = () => (waiting = false);
    mapped.then(stop, stop);
    const hurry = (ms) => setTimeout(() => {
      if (waiting) {
        submit.call(queue, []);
        hurry(1.4 * ms);
      }
    }, ms);
    hurry(2);
    return mapped;
  };
}
