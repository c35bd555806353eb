// Serves the page's own files, from the cache once they were loaded, and nothing else. Servers such
// as `python -m http.server` send no headers of their own; those of the page are added here.
//
// build.mjs puts the constants in: a digest of all files, those the page needs in any case, and
// those that it loads as the device needs them.

declare const VERSION: string;
declare const FILES: string[];
declare const RUNTIMES: string[];

const worker = self as unknown as {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  addEventListener(type: string, listener: (event: any) => void): void;
};
const CACHE = `dped ${worker.registration.scope} ${VERSION}`;
const scope = new URL(worker.registration.scope);
const known = new Set([...FILES, ...RUNTIMES].map((file) => new URL(file, scope).href));

const policy = [
  "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self' blob:",
  // No more than these files; an address that ends in a slash would allow all below it.
  `connect-src ${[...known].filter((url) => !url.endsWith("/")).join(" ")}`,
  "img-src 'self' blob:", "style-src 'self'", "manifest-src 'self'",
  "form-action 'none'", "base-uri 'none'", "frame-ancestors 'none'",
].join("; ");

function withHeaders(response: Response): Response {
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  headers.set("Content-Security-Policy", policy);
  headers.set("X-Content-Type-Options", "nosniff");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}

async function load(url: string): Promise<Response> {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(url);
  if (kept) return withHeaders(kept);
  const response = await fetch(url, { cache: "no-cache", credentials: "omit" });
  if (response.ok) await cache.put(url, response.clone());
  return withHeaders(response);
}

worker.addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(CACHE);
    await cache.addAll(FILES.map((file) => new Request(new URL(file, scope), { cache: "no-cache" })));
  };
  event.waitUntil(fill());
});

worker.addEventListener("activate", (event) => {
  const takeOver = async () => {
    const own = `dped ${worker.registration.scope} `;
    for (const name of await caches.keys()) {
      if (name.startsWith(own) && name !== CACHE) await caches.delete(name);
    }
    await worker.clients.claim();
  };
  event.waitUntil(takeOver());
});

worker.addEventListener("fetch", (event) => {
  const { request } = event as { request: Request };
  const url = new URL(request.url);
  url.search = url.hash = ""; // nothing is told by an address either
  if (url.pathname.endsWith("/index.html")) url.pathname = url.pathname.slice(0, -"index.html".length);
  const allowed = request.method === "GET" && known.has(url.href);
  event.respondWith(allowed ? load(url.href) : Promise.resolve(new Response(null, { status: 403 })));
});
