// Hands the EXIF data of a photograph on to its enhanced copy: date, place, camera. Orientation is
// applied to the pixels already, the size may be another, and the thumbnail shows the old picture.

import type { Size } from "./formats.js";

const ORIENTATION = 0x0112, EXIF_IFD = 0x8769, WIDTH = 0xa002, HEIGHT = 0xa003;
const SHORT = 3;

/** A copy of EXIF data for an upright picture of a size, without thumbnail; null where it is damaged. */
export function forPicture(exif: Uint8Array, size: Size): Uint8Array<ArrayBuffer> | null {
  const bytes = new Uint8Array(exif), data = new DataView(bytes.buffer);
  try {
    const little = data.getUint16(0) === 0x4949;
    const set = (entry: number, value: number) => { // of one number, SHORT or LONG
      if (data.getUint16(entry + 2, little) === SHORT) data.setUint16(entry + 8, value, little);
      else data.setUint32(entry + 8, value, little);
    };
    const visit = (ifd: number, values: Record<number, number>): [number, number] => {
      let inner = 0;
      const count = data.getUint16(ifd, little);
      for (let i = 0, entry = ifd + 2; i < count; i++, entry += 12) {
        const tag = data.getUint16(entry, little);
        if (tag in values) set(entry, values[tag]!);
        if (tag === EXIF_IFD) inner = data.getUint32(entry + 8, little);
      }
      return [inner, ifd + 2 + 12 * count];
    };
    const [inner, next] = visit(data.getUint32(4, little), { [ORIENTATION]: 1 });
    if (inner) visit(inner, { [WIDTH]: size.width, [HEIGHT]: size.height });
    const thumbnail = data.getUint32(next, little);
    data.setUint32(next, 0, little);
    if (thumbnail) eraseThumbnail(bytes, data, thumbnail, little);
    return bytes;
  } catch {
    return null;
  }
}

function eraseThumbnail(bytes: Uint8Array, data: DataView, ifd: number, little: boolean): void {
  const count = data.getUint16(ifd, little);
  let start = 0, length = 0;
  for (let i = 0, entry = ifd + 2; i < count; i++, entry += 12) {
    if (data.getUint16(entry, little) === 0x0201) start = data.getUint32(entry + 8, little);
    if (data.getUint16(entry, little) === 0x0202) length = data.getUint32(entry + 8, little);
  }
  bytes.fill(0, start, start + length);
}

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

/** A JPEG or PNG as a canvas encodes it, with EXIF data. */
export async function withExif(picture: Blob, exif: Uint8Array<ArrayBuffer>): Promise<Blob> {
  if (picture.type === "image/png") {
    const chunk = new Uint8Array(12 + exif.length), data = new DataView(chunk.buffer);
    data.setUint32(0, exif.length);
    chunk.set(new TextEncoder().encode("eXIf"), 4);
    chunk.set(exif, 8);
    data.setUint32(8 + exif.length, crc32(chunk.subarray(4, 8 + exif.length)));
    const end = 33; // of the signature and IHDR
    return new Blob([picture.slice(0, end), chunk, picture.slice(end)], { type: picture.type });
  }
  if (exif.length + 8 > 0xffff) return picture; // more than a segment holds: a JPEG never had it
  const segment = new Uint8Array(10 + exif.length);
  segment.set([0xff, 0xe1, (exif.length + 8) >> 8, (exif.length + 8) & 0xff]);
  segment.set(new TextEncoder().encode("Exif\0\0"), 4);
  segment.set(exif, 10);
  // After the header JFIF, where there is one.
  const head = new Uint8Array(await picture.slice(0, 6).arrayBuffer());
  const start = head[3] === 0xe0 ? 4 + (head[4]! << 8 | head[5]!) : 2;
  return new Blob([picture.slice(0, start), segment, picture.slice(start)], { type: picture.type });
}
