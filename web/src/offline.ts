// The service worker keeps the page for use offline and adds the headers that give WebAssembly
// threads. A page it does not control yet is loaded once more, before anything is opened.

const ONCE = "reloaded for the service worker";

function activated(worker: ServiceWorker): Promise<void> {
  return new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      else if (worker.state === "redundant") reject(new Error("a file of the page could not be loaded"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/**
 * Registers the service worker.
 *
 * @returns "reloading" where the page is about to be loaded again; "ready" under the service worker;
 *   else "unavailable": threads and offline use are missing.
 */
export async function goOffline(): Promise<"ready" | "reloading" | "unavailable"> {
  if (!("serviceWorker" in navigator)) return "unavailable"; // http:// from another machine
  try {
    const registration = await navigator.serviceWorker.register("service_worker.js");
    if (!registration.active) await activated(registration.installing ?? registration.waiting!);
  } catch { // not allowed, or without connection
    return navigator.serviceWorker.controller ? "ready" : "unavailable";
  }
  if (navigator.serviceWorker.controller && self.crossOriginIsolated) {
    sessionStorage.removeItem(ONCE);
    return "ready";
  }
  if (sessionStorage.getItem(ONCE)) return "unavailable";
  sessionStorage.setItem(ONCE, "yes");
  location.reload();
  return "reloading";
}
