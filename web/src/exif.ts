// EXIF data: what they say of how to show a photograph, and a copy that is true of the enhanced one.

import { ascii, crc32, view, type Size } from "./bytes.js";

const ORIENTATION = 0x0112, EXIF_IFD = 0x8769, INTEROPERABILITY_IFD = 0xa005, INDEX = 1;
const WIDTHS = [0x0100, 0xa002, 0x1001], HEIGHTS = [0x0101, 0xa003, 0x1002], COLOR_SPACE = 0xa001;
const COLORIMETRY = [0x012d, 0x013e, 0x013f, 0xa500]; // curve, white, primaries, gamma
const THUMBNAIL = 0x0201, THUMBNAIL_LENGTH = 0x0202, SHORT = 3;

/** A directory: where the entries of its tags lie, and what is read and written there. */
class Directory {
  readonly entries = new Map<number, number>();

  constructor(readonly data: DataView, readonly little: boolean, readonly start: number) {
    const count = data.getUint16(start, little);
    for (let at = start + 2, i = 0; i < count; i++, at += 12) this.entries.set(data.getUint16(at, little), at);
  }

  /** Where it says where the next directory lies. */
  get end(): number {
    return this.start + 2 + 12 * this.data.getUint16(this.start, this.little);
  }

  /** A number, SHORT or LONG; undefined where the tag is missing. */
  get(tag: number): number | undefined {
    const at = this.entries.get(tag);
    if (at === undefined) return undefined;
    const short = this.data.getUint16(at + 2, this.little) === SHORT;
    return short ? this.data.getUint16(at + 8, this.little) : this.data.getUint32(at + 8, this.little);
  }

  set(tag: number, value: number): void {
    const at = this.entries.get(tag);
    if (at === undefined) return;
    if (this.data.getUint16(at + 2, this.little) === SHORT) this.data.setUint16(at + 8, value, this.little);
    else this.data.setUint32(at + 8, value, this.little);
  }

  /** Removes tags; those behind them move up. Nothing else may be read of it after that. */
  remove(tags: number[]): void {
    const places = tags.flatMap((tag) => this.entries.get(tag) ?? []).sort((a, b) => b - a);
    for (const at of places) {
      const { buffer, byteOffset } = this.data, bytes = new Uint8Array(buffer, byteOffset);
      bytes.copyWithin(at, at + 12, this.end + 4);
      this.data.setUint16(this.start, this.data.getUint16(this.start, this.little) - 1, this.little);
    }
  }

  below(tag: number): Directory | null {
    const start = this.get(tag);
    return start ? new Directory(this.data, this.little, start) : null;
  }
}

/** The directories that describe the picture: the main one, and those of EXIF and interoperability. */
function directories(exif: Uint8Array): [Directory, Directory | null, Directory | null] {
  const data = view(exif), little = data.getUint16(0) === 0x4949;
  const main = new Directory(data, little, data.getUint32(4, little)), inner = main.below(EXIF_IFD);
  return [main, inner, inner?.below(INTEROPERABILITY_IFD) ?? null];
}

const index = (exif: Uint8Array, at: number | undefined) => (at === undefined ? "" : ascii(exif, at + 8, 3));

/** 1 to 8; 1 where the data are missing or damaged. */
export function orientationOf(exif: Uint8Array | null): number {
  try {
    const found = exif ? directories(exif)[0].get(ORIENTATION)! : 1;
    return found >= 1 && found <= 8 ? found : 1;
  } catch {
    return 1;
  }
}

/** Whether it is marked as cameras mark Adobe RGB (DCF 2.0). */
export function isAdobeRgb(exif: Uint8Array | null): boolean {
  try {
    return exif !== null && index(exif, directories(exif)[2]?.entries.get(INDEX)) === "R03";
  } catch {
    return false;
  }
}

/** A copy for an upright picture in sRGB of a size, without thumbnail; null where it is damaged. */
export function forPicture(exif: Uint8Array, size: Size): Uint8Array<ArrayBuffer> | null {
  const bytes = new Uint8Array(exif), data = view(bytes);
  try {
    const every = directories(bytes), [main, inner, interoperability] = every;
    main.set(ORIENTATION, 1);
    inner?.set(COLOR_SPACE, 1);
    for (const directory of every) {
      for (const tag of WIDTHS) directory?.set(tag, size.width);
      for (const tag of HEIGHTS) directory?.set(tag, size.height);
    }
    const at = interoperability?.entries.get(INDEX);
    if (index(bytes, at) === "R03") bytes.set([0x52, 0x39, 0x38], at! + 8); // R98: sRGB
    const next = data.getUint32(main.end, main.little);
    data.setUint32(main.end, 0, main.little);
    const thumbnail = next ? new Directory(data, main.little, next) : null;
    const start = thumbnail?.get(THUMBNAIL) ?? 0;
    bytes.fill(0, start, start + (thumbnail?.get(THUMBNAIL_LENGTH) ?? 0));
    for (const directory of [main, inner]) directory?.remove(COLORIMETRY);
    return bytes;
  } catch {
    return null;
  }
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
