// Makes the page work without a network after the first visit. One cache for each build, filled as a whole while the
// worker installs and never written to afterwards, so that files of two builds cannot mix. web/hook.sh fills in the
// build and the list of its files with their hashes, which the browser checks. Caches belong to a whole origin: the
// folder in their names keeps two copies of the app on one host from clearing each other's.
"use strict";

const PREFIX = `pairtune-${new URL(self.registration.scope).pathname}-`;
const BUILD = "__BUILD__";
const CACHE = PREFIX + BUILD;
const FILES = [/*__FILES__*/];
const PATIENCE_MS = 4000;

self.addEventListener("install", (event) => {
  // `no-cache` asks the server whether what the page has just loaded is still true instead of loading it again.
  const requests = FILES.map(([url, integrity]) => new Request(url, { cache: "no-cache", integrity }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(requests)));
  // No skipWaiting: a page that is open keeps the files of its own build until it is closed.
});

self.addEventListener("activate", (event) => {
  event.waitUntil(removeOldCaches().then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  // Models and pairs come from other origins, or in ranges, and are none of our business.
  if (request.method !== "GET" || request.headers.has("range") || new URL(request.url).origin !== self.location.origin) {
    return;
  }
  event.respondWith(request.mode === "navigate" ? networkFirst(request) : cacheFirst(request));
});

async function removeOldCaches() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

async function fromCache(request) {
  const cache = await caches.open(CACHE);
  // Hosts vary by encoding, which a cached response no longer has.
  return cache.match(request, { ignoreVary: true });
}

async function cacheFirst(request) {
  return (await fromCache(request)) ?? fetch(request);
}

/** The page of this cache. A host may have redirected it, and a browser takes no redirected response for a page. */
async function cachedPage() {
  const cached = await fromCache("index.html");
  return cached?.redirected ? new Response(cached.body, { headers: cached.headers }) : cached;
}

/** The page itself: fresh where the network answers in time, else the one of this cache. */
async function networkFirst(request) {
  const url = new URL(request.url);
  const isPage = url.pathname === new URL("./", self.registration.scope).pathname || url.pathname.endsWith("/index.html");
  const cached = isPage ? await cachedPage() : undefined;
  const network = fetch(request, { cache: "no-cache" });
  if (!cached) {
    return network;
  }
  const late = new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, cached));
  return Promise.race([network.then((response) => (response.ok ? response : cached), () => cached), late]);
}
