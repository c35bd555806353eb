// The worker: one photograph at a time from file to enhanced file. It is ended to cancel.

import { DAMAGED, inspect, Refused, UNKNOWN, type Told } from "./formats.js";
import { enhance } from "./network.js";
import {
  canvasFits, corrected, decode, encode, isSame, pixelsOf, reduced, resize, tellsMissingData, thumbnail, type Format,
  type Pixels,
} from "./pictures.js";
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
  | { type: "before" | "thumbnail"; id: number; blob: Blob } // before: to be shown in the file's place
  | { type: "progress"; id: number; share: number }
  | { type: "done"; id: number; blob: Blob; width: number; height: number; notes: string[]; seconds: number }
  | { type: "failed"; id: number | null; reason: string; detail: string; pixels: number; offered: number };

const OFFERED = [200, 100, 64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0.5]; // megapixels
const MOST_BYTES = 3e9; // for activations: of the 4 GB that WebAssembly can address
const BYTES_PER_PIXEL = 32; // for activations, for each pixel that a device takes: 3 GB of 8

const tell = (reply: Reply) => self.postMessage(reply);
let runtime: Runtime;
type Result = Pixels & { notes: string[] };
let last: { id: number; pixels: number | null; result: Result } | null = null; // to be saved in another format

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

/** Decodes a photograph, as its file says. */
async function open(told: Told, id: number, pixels: number | null, check: (bitmap: ImageBitmap) => void): Promise<Pixels> {
  const load = async (file: Blob) => {
    const bitmap = await decode(file);
    return pixels ? resize(bitmap, reduced(bitmap, pixels)) : bitmap;
  };
  const bitmap = await load(told.file).catch((error) => {
    throw error instanceof Failure ? new Refused(UNKNOWN[told.kind]) : error;
  });
  check(bitmap);
  const stored = pixelsOf(bitmap);
  let small = await thumbnail(bitmap);
  bitmap.close();
  if (told.surplus && await tellsMissingData()) {
    const other = await load(told.surplus), same = isSame(other, stored);
    other.close();
    if (!same) throw new Refused(DAMAGED);
  }
  const photo = corrected(stored, told);
  if (told.adobeRgb || told.orientation > 1) { // the page would show the file otherwise
    const blob = await encode(photo, photo.alpha ? "image/png" : "image/jpeg");
    tell({ type: "before", id, blob });
    small = await thumbnail(await decode(blob));
  }
  tell({ type: "thumbnail", id, blob: small });
  return photo;
}

async function result({ id, file, pixels, devicePixels }: Job): Promise<Result> {
  if (last?.id === id && last.pixels === pixels) return last.result;
  last = null;
  let tried = 0;
  try {
    const told = await inspect(file), { size } = told;
    tried = size ? size.width * size.height : 0;
    if (size && !pixels) check(size.width, size.height, devicePixels);
    const photo = await open(told, id, pixels, (bitmap) => {
      tried = bitmap.width * bitmap.height;
      check(bitmap.width, bitmap.height, devicePixels);
    });
    const { width, height } = photo;
    const rgb = await enhance(
      runtime.model, runtime.run, photo.rgb, height, width,
      (share) => tell({ type: "progress", id, share }),
    );
    last = { id, pixels, result: { ...photo, rgb, notes: told.notes } };
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
    const flat = found.alpha && data.format === "image/jpeg" ? ["what was transparent became white"] : [];
    tell({ type: "done", id: data.id, blob, width, height, notes: [...found.notes, ...flat], seconds });
  } catch (error) {
    const { reason, message } = error instanceof Failure ? error : { reason: "run", message: String(error) };
    const { pixels, offered } = error instanceof TooLarge ? error : { pixels: 0, offered: 0 };
    tell({ type: "failed", id, reason, detail: message, pixels, offered });
  }
};
