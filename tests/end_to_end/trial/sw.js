self.addEventListener("install", e => { console.log("service worker installs"); e.waitUntil(fetch("data.json?from=sw").then(() => self.skipWaiting())) });
self.addEventListener("activate", e => e.waitUntil(self.clients.claim()));
