let device = null, lost = null;
const can = {
  async gpu() {
    if (!navigator.gpu) return "no navigator.gpu";
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) return "no adapter";
    device = await adapter.requestDevice();
    device.lost.then(info => { lost = info.reason + ": " + info.message });
    const code = `@group(0) @binding(0) var<storage, read_write> v: array<u32>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { v[g.x] = g.x * g.x; }`;
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code }) } });
    const buffer = device.createBuffer({ size: 256, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
    const read = device.createBuffer({ size: 256, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
    const encoder = device.createCommandEncoder(), pass = encoder.beginComputePass();
    pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(1); pass.end();
    encoder.copyBufferToBuffer(buffer, 0, read, 0, 256);
    device.queue.submit([encoder.finish()]);
    await read.mapAsync(GPUMapMode.READ);
    return [new Uint32Array(read.getMappedRange())[63], adapter.info.vendor, adapter.info.architecture, adapter.features.has("shader-f16")];
  },
  lost: () => lost,
  async write(text) {
    const root = await navigator.storage.getDirectory();
    const handle = await (await root.getFileHandle("kept", { create: true })).createSyncAccessHandle();
    try {
      handle.truncate(0); handle.write(new TextEncoder().encode(text), { at: 0 }); handle.flush();
    } catch (error) { return error.name } finally { handle.close() }
    return text.length;
  },
  async read() {
    const root = await navigator.storage.getDirectory();
    try { return await (await (await root.getFileHandle("kept")).getFile()).text() } catch (error) { return error.name }
  },
  async fill(bytes) {
    const root = await navigator.storage.getDirectory();
    const handle = await (await root.getFileHandle("large", { create: true })).createSyncAccessHandle();
    try { return handle.write(new Uint8Array(bytes), { at: 0 }) } catch (error) { return error.name } finally { handle.close() }
  },
  async hold(bytes) { self.held = bytes ? new Uint8Array(bytes).fill(1) : null; return bytes },
  async memory(pages) { self.memory = pages ? new WebAssembly.Memory({ initial: pages }) : null; return pages },
  async fetch([url, from]) {
    try {
      const reply = await fetch(url, from === undefined ? {} : { headers: { Range: `bytes=${from}-` } });
      const reader = reply.body.getReader();
      let got = 0;
      try {
        for (;;) { const { done, value } = await reader.read(); if (done) break; got += value.length }
      } catch (error) { return [reply.status, got, "cut"] }
      return [reply.status, got, reply.headers.get("Content-Range") ?? ""];
    } catch (error) { return [0, 0, String(error)] }
  },
  say(text) { console.error(text); console.log("and", { a: 1 }, 2); return true },
  throw() { setTimeout(() => { throw new Error("thrown in the worker") }); return true },
  async spin(ms) { let n = 0; const end = performance.now() + ms; while (performance.now() < end) { n++; await new Promise(r => setTimeout(r, 0)) } return n },
};
onmessage = async ({ data: { id, what, arg } }) => {
  let value;
  try { value = await can[what](arg) } catch (error) { value = "failed: " + error }
  postMessage({ id, value });
};
