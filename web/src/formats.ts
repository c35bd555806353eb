// What the bytes of a photograph say before it is decoded: its size, and its EXIF data.

export interface Size { width: number; height: number }

const ascii = (bytes: Uint8Array, start: number, length: number) =>
  String.fromCharCode(...bytes.subarray(start, start + length));

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Segments of a JPEG before its pixels: marker, and where its content starts and ends. */
function* segments(bytes: Uint8Array): Generator<[number, number, number]> {
  if (bytes[0] !== 0xff || bytes[1] !== 0xd8) return;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]!, end = at + 2 + view(bytes).getUint16(at + 2);
    if (marker === 0xff) { at++; continue; } // fill
    if (marker === 0xda) return;
    yield [marker, at + 4, end];
    at = end;
  }
}

/** Chunks of a PNG or WebP: name, and where its content starts and ends. */
function* chunks(bytes: Uint8Array): Generator<[string, number, number]> {
  const png = ascii(bytes, 1, 3) === "PNG", webp = ascii(bytes, 0, 4) === "RIFF" && ascii(bytes, 8, 4) === "WEBP";
  if (!png && !webp) return;
  for (let at = png ? 8 : 12; at + 8 <= bytes.length;) {
    const length = view(bytes).getUint32(at + (png ? 0 : 4), webp);
    yield [ascii(bytes, at + (png ? 4 : 0), 4), at + 8, at + 8 + length];
    at += 8 + length + (png ? 4 : length % 2);
  }
}

/** The size as stored, of JPEG, PNG and WebP; null where the bytes do not tell. */
export function sizeOf(bytes: Uint8Array): Size | null {
  const data = view(bytes);
  try {
    for (const [marker, start] of segments(bytes)) {
      const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
      if (isFrame) return { height: data.getUint16(start + 1), width: data.getUint16(start + 3) };
    }
    for (const [name, start] of chunks(bytes)) {
      if (name === "IHDR") return { width: data.getUint32(start), height: data.getUint32(start + 4) };
      if (name === "VP8X") {
        return {
          width: (data.getUint32(start + 4, true) & 0xffffff) + 1,
          height: (data.getUint32(start + 6, true) >>> 8) + 1,
        };
      }
      if (name === "VP8 ") {
        return { width: data.getUint16(start + 6, true) & 0x3fff, height: data.getUint16(start + 8, true) & 0x3fff };
      }
      if (name === "VP8L") {
        const bits = data.getUint32(start + 1, true);
        return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
      }
    }
  } catch { /* cut short */ }
  return null;
}

/**
 * The EXIF data of a JPEG or PNG: a TIFF structure without pixels; null where there is none. That of
 * a WebP is not taken: browsers do not apply its orientation.
 */
export function exifOf(bytes: Uint8Array): Uint8Array | null {
  try {
    for (const [marker, start, end] of segments(bytes)) {
      if (marker === 0xe1 && ascii(bytes, start, 6) === "Exif\0\0") return bytes.slice(start + 6, end);
    }
    for (const [name, start, end] of chunks(bytes)) {
      if (name === "eXIf") return bytes.slice(start, end);
    }
  } catch { /* cut short */ }
  return null;
}
