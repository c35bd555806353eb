// Between files and pixels, in the worker: decoding, reducing, encoding. The browser applies EXIF
// orientation and converts to sRGB, but for what `corrected` does. Pixels go through a canvas in
// strips, to bound memory.

import { fromAdobeRgb } from "./adobe_rgb.js";
import type { Size } from "./bytes.js";
import type { Told } from "./formats.js";
import { pictureAlone, walk } from "./jpeg.js";
import { Failure } from "./runtime.js";

export interface Pixels extends Size {
  rgb: Uint8Array; // (height, width, 3)
  alpha: Uint8Array | null; // (height, width), where something is transparent
}
export type Format = "image/jpeg" | "image/png";

const QUALITY = 0.95; // of JPEG, as `python -m dped_jax.enhance`
const STRIP = 2 ** 21; // pixels
const MOST_SIDE = 65500; // of a JPEG, in libjpeg
const THUMBNAIL = 192; // pixels of its longer side, at most

type Context = OffscreenCanvasRenderingContext2D;

function context(width: number, height: number): Context {
  const found = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!found) throw new Failure("memory", `no canvas of ${width} x ${height}`);
  return found;
}

/** Whether the browser makes a canvas of a size, and a JPEG; it fails silently beyond what it can. */
export function canvasFits(width: number, height: number): boolean {
  if (Math.max(width, height) > MOST_SIDE) return false;
  try {
    const canvas = context(width, height);
    canvas.fillRect(width - 1, height - 1, 1, 1);
    return canvas.getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
  } catch {
    return false;
  }
}

/** The size with the same aspect and about so many pixels. */
export function reduced({ width, height }: Size, pixels: number): Size {
  const scale = Math.min(1, Math.sqrt(pixels / (width * height)));
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** Decodes a file, upright. Throws Failure where the browser cannot. */
export async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch (error) {
    throw new Failure("decode", String(error));
  }
}

export async function resize(bitmap: ImageBitmap, { width, height }: Size): Promise<ImageBitmap> {
  if (width === bitmap.width && height === bitmap.height) return bitmap;
  const smaller = await createImageBitmap(bitmap, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  bitmap.close();
  return smaller;
}

/** A small JPEG of a picture. */
export async function thumbnail(bitmap: ImageBitmap): Promise<Blob> {
  const { width, height } = bitmap, scale = Math.min(1, THUMBNAIL / Math.max(width, height));
  const canvas = context(Math.ceil(width * scale), Math.ceil(height * scale));
  canvas.imageSmoothingQuality = "high";
  canvas.drawImage(bitmap, 0, 0, canvas.canvas.width, canvas.canvas.height);
  return canvas.canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
}

/** A picture in strips of RGBA: their pixels, and the number of pixels before them. */
function* strips(bitmap: ImageBitmap): Generator<[Uint8ClampedArray, number]> {
  const { width, height } = bitmap;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  const canvas = context(width, rows);
  for (let top = 0; top < height; top += rows) {
    canvas.clearRect(0, 0, width, rows);
    canvas.drawImage(bitmap, 0, -top);
    const strip = canvas.getImageData(0, 0, width, Math.min(rows, height - top), { colorSpace: "srgb" });
    yield [strip.data, top * width];
  }
}

export function pixelsOf(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const rgb = new Uint8Array(3 * width * height);
  let alpha: Uint8Array | null = null;
  for (const [data, before] of strips(bitmap)) {
    for (let i = 0, o = 3 * before; i < data.length; i += 4, o += 3) {
      rgb[o] = data[i]!;
      rgb[o + 1] = data[i + 1]!;
      rgb[o + 2] = data[i + 2]!;
      if (data[i + 3] !== 255) {
        alpha ??= new Uint8Array(width * height).fill(255);
        alpha[o / 3] = data[i + 3]!;
      }
    }
  }
  return { width, height, rgb, alpha };
}

/** Whether a bitmap has the same colours. */
export function isSame(bitmap: ImageBitmap, { rgb }: Pixels): boolean {
  for (const [data, before] of strips(bitmap)) {
    for (let i = 0, o = 3 * before; i < data.length; i += 4, o += 3) {
      if (data[i] !== rgb[o] || data[i + 1] !== rgb[o + 1] || data[i + 2] !== rgb[o + 2]) return false;
    }
  }
  return true;
}

let telling: Promise<boolean> | null = null;

/**
 * Whether `pictureAlone` with surplus data tells here whether a JPEG is whole: not where canvases give
 * pixels with noise against fingerprinting, or a decoder minds the surplus.
 */
export function tellsMissingData(): Promise<boolean> {
  const compare = async (): Promise<boolean> => {
    const canvas = context(640, 480);
    for (let i = 0; i < 480; i++) {
      canvas.fillStyle = `hsl(${i * 31} 60% 50%)`;
      canvas.fillRect(i, i, 640, 2);
    }
    const blob = await canvas.canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    const bytes = new Uint8Array(await blob.arrayBuffer());
    return isSame(await decode(pictureAlone(bytes, walk(bytes), true)), pixelsOf(await decode(blob)));
  };
  return telling ??= compare().catch(() => false);
}

/** Turns and mirrors as EXIF's orientation says. */
function upright({ width, height, rgb, alpha }: Pixels, orientation: number): Pixels {
  const turned = orientation > 4, columns = turned ? height : width, rows = turned ? width : height;
  const fromBelow = [3, 4, 7, 8].includes(orientation), fromRight = [2, 3, 6, 7].includes(orientation);
  const moved = (plane: Uint8Array, channels: number) => {
    const to = new Uint8Array(plane.length);
    for (let y = 0, o = 0; y < rows; y++) {
      const v = fromBelow ? rows - 1 - y : y;
      for (let x = 0; x < columns; x++) {
        const u = fromRight ? columns - 1 - x : x, from = channels * (turned ? u * width + v : v * width + u);
        for (let c = 0; c < channels; c++) to[o++] = plane[from + c]!;
      }
    }
    return to;
  };
  return { width: columns, height: rows, rgb: moved(rgb, 3), alpha: alpha && moved(alpha, 1) };
}

/** A picture as the file says and browsers do not: turned, and in sRGB. */
export function corrected(pixels: Pixels, { orientation, adobeRgb }: Told): Pixels {
  if (adobeRgb) fromAdobeRgb(pixels.rgb);
  return orientation > 1 ? upright(pixels, orientation) : pixels;
}

/** Encodes a picture; what is transparent becomes white in a JPEG. */
export async function encode({ width, height, rgb, alpha }: Pixels, type: Format): Promise<Blob> {
  const canvas = context(width, height);
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP / width)));
  for (let top = 0; top < height; top += rows) {
    const strip = new ImageData(width, Math.min(rows, height - top)), { data } = strip;
    for (let i = 0, pixel = top * width; i < data.length; i += 4, pixel++) {
      const opacity = alpha ? alpha[pixel]! : 255, flat = type === "image/jpeg" && opacity < 255;
      for (let c = 0; c < 3; c++) {
        const value = rgb[3 * pixel + c]!;
        data[i + c] = flat ? (value * opacity) / 255 + 255 - opacity : value;
      }
      data[i + 3] = flat ? 255 : opacity;
    }
    canvas.putImageData(strip, 0, top);
  }
  return canvas.canvas.convertToBlob({ type, quality: QUALITY });
}
