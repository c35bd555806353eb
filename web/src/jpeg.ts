// JPEG by segments (ITU-T T.81, annex B): where the picture ends, and whether all of it is there.
// Behind it may lie anything: a video, a gain map, another picture.

import { ascii, joined, view, type Size } from "./bytes.js";

export interface Jpeg {
  size: Size | null;
  channels: number; // 1, 3 or 4
  arithmetic: boolean;
  end: number; // behind the end marker, or where the coded data end for another reason
  hasEnd: boolean;
  complete: boolean; // the scans hold all bits of all coefficients
  exif: Uint8Array | null;
  icc: Uint8Array | null;
}

/** Where the code of the next marker is; in coded data FF is followed by 00 or a restart's number. */
function nextMarker(bytes: Uint8Array, start: number): number {
  for (let at = bytes.indexOf(0xff, start); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const code = bytes[at + 1]!;
    if (code !== 0xff && code !== 0 && (code & 0xf8) !== 0xd0) return at + 1;
  }
  return bytes.length;
}

/** Walks through the first picture of a JPEG file. */
export function walk(bytes: Uint8Array): Jpeg {
  const jpeg: Jpeg = {
    size: null, channels: 0, arithmetic: false, end: bytes.length, hasEnd: false, complete: false,
    exif: null, icc: null,
  };
  const profile: Uint8Array[] = []; // parts by their numbers
  const missing = new Map<number, Uint8Array>(); // by component, the lowest bit that each coefficient lacks
  let progressive = false;
  for (let at = nextMarker(bytes, 2); at < bytes.length; at = nextMarker(bytes, at)) {
    const code = bytes[at++]!;
    if (code === 0xd8 || code === 0xd9) {
      jpeg.hasEnd = code === 0xd9;
      jpeg.end = jpeg.hasEnd ? at : at - 2;
      break;
    }
    if (code === 0x01 || at + 2 > bytes.length) continue;
    const body = bytes.subarray(at + 2, at + view(bytes).getUint16(at));
    at += 2 + body.length;
    if (code >= 0xc0 && code <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(code) && body.length >= 6) {
      jpeg.size = { height: view(body).getUint16(1), width: view(body).getUint16(3) };
      jpeg.channels = body[5]!;
      progressive = (code & 3) === 2;
      jpeg.arithmetic = code > 0xc8;
      missing.clear();
      for (let i = 6; i < body.length; i += 3) missing.set(body[i]!, new Uint8Array(64).fill(14));
    } else if (code === 0xda) noteScan(body, progressive, missing);
    else if (code === 0xe1 && ascii(body, 0, 6) === "Exif\0\0") jpeg.exif ??= body.subarray(6);
    else if (code === 0xe2 && ascii(body, 0, 12) === "ICC_PROFILE\0") profile[body[12]!] ??= body.subarray(14);
  }
  jpeg.complete = missing.size > 0 && [...missing.values()].every((bits) => bits.every((bit) => !bit));
  if (profile.length) jpeg.icc = joined(...profile.filter(Boolean));
  return jpeg;
}

/** Lowers what is missing by what a scan brings. */
function noteScan(header: Uint8Array, progressive: boolean, missing: Map<number, Uint8Array>): void {
  const count = header[0] ?? 0;
  if (header.length < 4 + 2 * count) return;
  const [first, last, bits] = progressive
    ? [header.at(-3)!, Math.min(header.at(-2)!, 63), header.at(-1)! & 15] : [0, 63, 0];
  for (let i = 1; i < 1 + 2 * count; i += 2) {
    const bitsOf = missing.get(header[i]!);
    for (let k = first; bitsOf && k <= last; k++) bitsOf[k] = Math.min(bitsOf[k]!, bits);
  }
}

const END = Uint8Array.of(0xff, 0xd9);
// Coded data that no picture needs, in restart intervals of every number.
const SURPLUS = joined(...[...Array(9).keys()].map((i) => {
  const coded = [0x5a, 0x35, 0xc3, 0x6e, 0x97, 0x1b, 0x2d, 0x48].flatMap((byte) => [byte, byte ^ 0x11, byte ^ 0x22]);
  return Uint8Array.from(i ? [0xff, 0xcf + i, ...coded] : coded);
}));

/**
 * The picture alone, with an end marker; perhaps with surplus coded data before that. A decoder that
 * has all it needs never looks at them: where the two look different, data are missing. Browsers do
 * not tell: they fill what is missing with gray.
 */
export function pictureAlone(bytes: Uint8Array, { end, hasEnd }: Jpeg, surplus: boolean): Blob {
  let coded = bytes.subarray(0, hasEnd ? end - 2 : end);
  if (!hasEnd) { // zeros may lie behind it
    let last = coded.length;
    while (last && !coded[last - 1]) last--;
    coded = coded.subarray(0, last + 2);
  }
  return new Blob([coded, ...(surplus ? [SURPLUS] : []), END] as BlobPart[], { type: "image/jpeg" });
}
