// Loads the app and shows how far that is, or says in plain words why it cannot start. Runs before any wasm and
// owns nothing afterwards: the app removes #loading itself when its first frame is on the screen.
"use strict";

(() => {
  const find = (selector) => document.querySelector(selector);
  const meta = (name) => find(`meta[name="pairtune-${name}"]`).content;
  const build = meta("build");
  const query = `?v=${build}`;
  const loading = () => document.getElementById("loading");

  /** What the app asks of the page. */
  window.pairtune = { build, workerUrl, crash };

  /** The address to start the engine's worker from, as a classic worker. It is a blob because such a worker inherits
   *  this page's content security policy; one started from a file has only what the server sends, which is nothing. */
  function workerUrl() {
    const base = new URL("./", document.baseURI).href;
    const source = `self.pairtuneBase = ${JSON.stringify(base)};
self.pairtuneQuery = ${JSON.stringify(query)};
importScripts(self.pairtuneBase + "worker_loader.js" + self.pairtuneQuery);`;
    return URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  }

  /** Shows the crash screen; the first message stays, later ones follow from it. */
  function crash(message, title) {
    const screen = find("#crash");
    if (screen.hidden) {
      loading()?.remove();
      if (title) {
        screen.querySelector("h2").textContent = title;
      }
      // Nothing is left here that would be worth a question.
      addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
      screen.querySelector("pre").textContent = `${message}\n\n${environment()}`;
      screen.hidden = false;
      screen.querySelector("button").focus();
    }
  }

  function environment() {
    return [`pairtune build ${build}`, location.origin + location.pathname, navigator.userAgent].join("\n");
  }

  /** Replaces the progress bar by a text. `advice` are paragraphs for the list, `details` goes under "Details". */
  function fail(title, text, advice, details) {
    const screen = loading();
    if (!screen || !find("#problem").hidden) {
      return;
    }
    const problem = find("#problem");
    find("#wait").hidden = true;
    problem.querySelector("h2").textContent = title;
    problem.querySelector(".advice").textContent = text;
    problem.querySelector("ul").replaceChildren(...advice.map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }));
    problem.querySelector("pre").textContent = `${title}\n${details ?? ""}\n${environment()}`;
    problem.querySelector("details").hidden = false;
    problem.hidden = false;
  }

  function wireButtons() {
    for (const button of document.querySelectorAll("button.reload")) {
      button.addEventListener("click", () => location.reload());
    }
    for (const button of document.querySelectorAll("button.copy")) {
      const label = button.textContent;
      button.addEventListener("click", async () => {
        const pre = button.closest(".problem").querySelector("pre");
        button.textContent = (await copy(pre)) ? "Copied" : "Press Ctrl+C or ⌘C";
        setTimeout(() => (button.textContent = label), 3000);
      });
    }
  }

  /** Copies the text of an element, or at least selects it where the clipboard is closed to us. */
  async function copy(element) {
    try {
      await navigator.clipboard.writeText(element.textContent);
      return true;
    } catch {
      element.closest("details")?.setAttribute("open", "");
      getSelection().selectAllChildren(element);
      element.focus();
      return false;
    }
  }

  function hasWebGl2() {
    try {
      const context = document.createElement("canvas").getContext("webgl2");
      context?.getExtension("WEBGL_lose_context")?.loseContext();
      return context !== null;
    } catch {
      return false;
    }
  }

  /** How to switch 3D graphics on, this browser's own way first. */
  function webGlAdvice() {
    const agent = navigator.userAgent;
    const firefox = "Firefox: in about:config, webgl.disabled must be false. about:support, under Graphics, says why WebGL 2 is off.";
    const safari = "Safari: update to macOS 12 or iOS 15 or later. In Lockdown Mode, switch it off for this site.";
    const chrome = "Chrome, Edge, Brave, Opera: in Settings, System, switch on “Use graphics acceleration when available” and start the browser again. chrome://gpu says why WebGL 2 is off.";
    const own = /Firefox\//.test(agent) ? firefox : /Chrome\//.test(agent) ? chrome : /Safari\//.test(agent) ? safari : null;
    const browsers = [own, chrome, firefox, safari].filter((line, at, all) => line && all.indexOf(line) === at);
    return [...browsers, "In a remote desktop or a virtual machine: update the graphics driver, or try from the machine itself."];
  }

  function isSupported() {
    if (typeof WebAssembly !== "object") {
      fail(
        "This browser does not run WebAssembly",
        "pairtune is a WebAssembly program; without it there is nothing to show.",
        [
          "Chrome, Edge: update to a current version. In Edge, switch “Enhance your security on the web” off for this site.",
          "Firefox: in about:config, javascript.options.wasm must be true. Tor Browser: security level Standard.",
          "Safari: update to a current version. In Lockdown Mode, switch it off for this site.",
        ],
      );
      return false;
    }
    if (!hasWebGl2()) {
      fail("This browser cannot draw the app", "pairtune draws its window with WebGL 2, which is switched off or missing here.", webGlAdvice());
      return false;
    }
    return true;
  }

  /** Reports what is loaded: to the bar often, to screen readers every quarter. */
  function progressReporter(total) {
    const bar = find("#bar");
    const phase = find("#phase");
    const live = find("#live");
    const megabytes = (bytes) => (bytes / 1e6).toFixed(1);
    let quarter = 0;
    return (bytes) => {
      if (bytes >= total) {
        bar.removeAttribute("value");
        phase.textContent = "Starting…";
        live.textContent = "Starting";
        return;
      }
      bar.value = bytes / total;
      phase.textContent = `Loading ${megabytes(bytes)} of ${megabytes(total)} MB`;
      if (Math.floor((4 * bytes) / total) > quarter) {
        quarter = Math.floor((4 * bytes) / total);
        live.textContent = `Loading, ${25 * quarter} %`;
      }
    };
  }

  /** The app's wasm as a response that reports its bytes while they arrive. */
  async function download(url, report) {
    const response = await fetch(url);
    if (!response.ok) {
      throw new Error(`${url}: ${response.status} ${response.statusText}`);
    }
    let bytes = 0;
    const counter = new TransformStream({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        report(bytes);
        controller.enqueue(chunk);
      },
    });
    // With the right type, whatever the host calls it, the browser compiles while it loads.
    return new Response(response.body.pipeThrough(counter), { headers: { "content-type": "application/wasm" } });
  }

  async function start() {
    const report = progressReporter(Number(meta("bytes")));
    report(0);
    find("#wait").hidden = false;
    const [app, wasm] = await Promise.all([import(find("#app-js").href), download(find("#app-wasm").href, report)]);
    await app.default({ module_or_path: wasm });
  }

  function explain(error) {
    const details = String(error?.stack ?? error);
    const text = navigator.onLine
      ? "A part of it did not arrive, or the browser refused it."
      : "There is no network connection, and this browser has no complete copy of pairtune yet.";
    fail("pairtune could not be loaded", text, [
      "Load the page again. After an update of the site the first try can fail.",
      "If it fails again, load it without the saved copy: hold Shift while you reload.",
      "Blockers and company proxies sometimes remove .wasm files; try without them, or another browser.",
    ], details);
  }

  /** Errors that no code of ours catches: before the start they are shown there; after it, only a wasm trap (which
   *  no panic hook sees) means that the app is gone. */
  function watchErrors() {
    const onError = (error) => {
      if (!error) {
        return; // Not an exception: "ResizeObserver loop" and the like.
      }
      if (loading()) {
        explain(error);
      } else if (error instanceof WebAssembly.RuntimeError) {
        crash(error.stack ?? String(error));
      }
    };
    addEventListener("error", (event) => onError(event.error));
    addEventListener("unhandledrejection", (event) => onError(event.reason));
  }

  /** A driver that resets takes with it what draws the app, for good. The engine may well go on, but nobody sees it. */
  function watchCanvas() {
    find("#app").addEventListener("webglcontextlost", () => {
      crash("The canvas lost its WebGL context.", "The graphics driver reset, and the page cannot draw any more");
    });
  }

  /** Registered after the start, so as not to compete with it for the network. `?nosw` goes without. */
  function registerServiceWorker() {
    if (isSecureContext && "serviceWorker" in navigator && !new URLSearchParams(location.search).has("nosw")) {
      navigator.serviceWorker.register("sw.js").catch((error) => console.warn("no offline copy:", error));
    }
  }

  wireButtons();
  if (isSupported()) {
    watchErrors();
    watchCanvas();
    start().then(registerServiceWorker, explain);
  }
})();
