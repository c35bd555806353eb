// What the page says when something goes wrong: one message, with what to do.

import type { Failed } from "./engine.js";

export const megapixels = (pixels: number) => {
  const size = pixels / 1e6, shown = size < 9.5 ? Number(size.toFixed(1)) : Math.round(size);
  return `${shown} megapixel${shown === 1 ? "" : "s"}`;
};

/** One message about a photograph that failed. */
export function ofPhoto(name: string, { reason, detail, pixels, offered }: Failed): string {
  if (reason === "decode") {
    return `${name} cannot be opened: ${detail}`;
  }
  if (reason === "too-large") {
    const size = pixels ? ` with ${megapixels(pixels)}` : "";
    return offered
      ? `${name}${size} is too large for this device. It can be enhanced at a smaller size.`
      : `${name}${size} is too large for this device. Make it smaller with another program first.`;
  }
  return ofModel({ reason, detail, pixels, offered }) ?? `${name} could not be enhanced (${shortened(detail)}). Try again.`;
}

/** One message about a page that cannot compute; null for other failures. */
export function ofModel({ reason, detail }: Failed): string | null {
  if (reason === "model") return "The model of this page is damaged or no model. Load the page again; if that does not help, build it again with make web.";
  if (reason === "model-missing") return "The model could not be loaded. Connect to the internet and load the page again.";
  if (reason === "runtime") return `The enhancer could not be started (${shortened(detail)}). Load the page again, or use a newer browser.`;
  return null;
}

function shortened(detail: string): string {
  const line = detail.split("\n")[0]!.trim();
  return line.length > 120 ? `${line.slice(0, 120)}…` : line || "no reason given";
}
