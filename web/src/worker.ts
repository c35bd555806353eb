// The worker: one photograph at a time from file to enhanced file. It is ended to cancel.

import { sizeOf } from "./formats.js";
import { enhance } from "./network.js";
import { canvasFits, decode, encode, pixelsOf, reduced, resize, thumbnail, type Format, type Pixels } from "./pictures.js";
import { Failure, Runtime, isOutOfMemory, type Place, type Processor } from "./runtime.js";

export interface Start { type: "start"; base: string; processor: Processor; library: Place["library"] | null }
export interface Job {
  type: "enhance";
  id: number;
  file: Blob;
  format: Format;
  pixels: number | null; // to reduce the photograph to; null: as it is
  devicePixels: number; // what the device takes at most, by its memory
}
export type Reply =
  | { type: "ready"; place: Place; details: [string, string][] }
  | { type: "thumbnail"; id: number; blob: Blob }
  | { type: "progress"; id: number; share: number }
  | { type: "done"; id: number; blob: Blob; width: number; height: number; seconds: number }
  | { type: "failed"; id: number | null; reason: string; detail: string; pixels: number; offered: number };

const OFFERED = [200, 100, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0.5]; // megapixels
const MOST_BYTES = 3e9; // for activations: of the 4 GB that WebAssembly can address
const BYTES_PER_PIXEL = 32; // for activations, for each pixel that a device takes: 3 GB of 8

const tell = (reply: Reply) => self.postMessage(reply);
let runtime: Runtime;
let last: { id: number; pixels: number | null; result: Pixels } | null = null; // to be saved in another format

/** The largest size offered that is below so many pixels. */
const offer = (pixels: number) => 1e6 * (OFFERED.find((size) => size * 1e6 < pixels) ?? 0);

/** Throws Failure where a photograph is too large: for the device, for the model, or for a canvas. */
function check(width: number, height: number, devicePixels: number): void {
  const bytes = Math.min(MOST_BYTES, BYTES_PER_PIXEL * devicePixels);
  const most = Math.min(devicePixels, bytes / (runtime.model.bytesPerPixel || 1));
  if (width * height <= most && canvasFits(width, height)) return;
  throw new TooLarge(width * height, offerFitting(width, height, most));
}

function offerFitting(width: number, height: number, most: number): number {
  for (let pixels = offer(Math.min(most + 1, width * height)); pixels; pixels = offer(pixels)) {
    const size = reduced({ width, height }, pixels);
    if (canvasFits(size.width, size.height)) return pixels;
  }
  return 0;
}

class TooLarge extends Failure {
  constructor(readonly pixels: number, readonly offered: number) {
    super("too-large", `${pixels} pixels`);
  }
}

async function result({ id, file, pixels, devicePixels }: Job): Promise<Pixels> {
  if (last?.id === id && last.pixels === pixels) return last.result;
  last = null;
  let tried = 0;
  try {
    const size = sizeOf(new Uint8Array(await file.slice(0, 2 ** 20).arrayBuffer()));
    tried = size ? size.width * size.height : 0;
    if (size && !pixels) check(size.width, size.height, devicePixels);
    let bitmap = await decode(file);
    if (pixels) bitmap = await resize(bitmap, reduced(bitmap, pixels));
    tried = bitmap.width * bitmap.height;
    check(bitmap.width, bitmap.height, devicePixels);
    tell({ type: "thumbnail", id, blob: await thumbnail(bitmap) });
    const photo = pixelsOf(bitmap), { width, height } = photo;
    bitmap.close();
    const rgb = await enhance(
      runtime.model, runtime.run, photo.rgb, height, width,
      (share) => tell({ type: "progress", id, share }),
    );
    last = { id, pixels, result: { ...photo, rgb } };
    return last.result;
  } catch (error) {
    const noRoom = error instanceof Failure ? error.reason === "memory" : isOutOfMemory(error);
    throw noRoom ? new TooLarge(tried, offer(tried / 2)) : error;
  }
}

self.onmessage = async ({ data }: MessageEvent<Start | Job>) => {
  const id = data.type === "start" ? null : data.id;
  try {
    if (data.type === "start") {
      runtime = await Runtime.start(data.base, data.processor, data.library);
      const { place, model: { details } } = runtime;
      tell({ type: "ready", place, details });
      return;
    }
    const start = performance.now();
    const found = await result(data);
    const blob = await encode(found, data.format);
    const { width, height } = found, seconds = (performance.now() - start) / 1000;
    tell({ type: "done", id: data.id, blob, width, height, seconds });
  } catch (error) {
    const { reason, message } = error instanceof Failure ? error : { reason: "run", message: String(error) };
    const { pixels, offered } = error instanceof TooLarge ? error : { pixels: 0, offered: 0 };
    tell({ type: "failed", id, reason, detail: message, pixels, offered });
  }
};
