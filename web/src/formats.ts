// What the bytes of a photograph say before it is decoded. Files are recognised by their content, and
// refused by the rules of `python -m dped_jax.enhance`, as far as browsers open them at all.

import { primary } from "./boxes.js";
import { ascii, crc32, view, type Size } from "./bytes.js";
import * as exif from "./exif.js";
import { pictureAlone, walk } from "./jpeg.js";
import { Failure } from "./runtime.js";

/** Why a photograph cannot be opened, as the end of a sentence. */
export class Refused extends Failure {
  constructor(why: string) {
    super("decode", why);
  }
}

export const DAMAGED = "it is damaged or cut short. Take another copy of it.";
const HEAD = 256; // bytes that tell a kind

type Kind = "jpeg" | "png" | "webp" | "avif" | "heic" | "bmp";

/** Why the browser may have failed at a picture. */
export const UNKNOWN: Record<Kind, string> = {
  jpeg: DAMAGED, png: DAMAGED, webp: DAMAGED, bmp: DAMAGED,
  avif: "it is damaged or cut short, or this browser does not open AVIF. Save it as JPEG or PNG first.",
  heic: "it is damaged, or this browser does not open HEIC. Safari does; elsewhere save it as JPEG first.",
};

// Starts of others that are known: each with the reason.
const RAW = "TIFF and camera raw cannot be opened in a browser. Save it as JPEG or PNG with another program first.";
const OTHERS: [RegExp, string][] = [
  [/^(II[*+]\0|MM\0[*+]|FUJIFILMCCD-RAW|\0MRM|FOVb|II\x1a\0|IIR[OS]|MMOR|IIU\0|....ftypcrx )/s, RAW],
  [/^(\xff\n|\0\0\0\x0cJXL )/, "JPEG XL is not read. Save it as JPEG or PNG first."],
  [/^GIF8/, "GIF is not read. Save it as JPEG or PNG first."],
  [/^[\s\xef\xbb\xbf]*<(svg|\?xml|!)/, "it is a drawing or a text, no photo."],
  [/^....ftyp/s, "it is a video. Save a picture of it first."],
];

/** The kind of a picture that this page reads, by its first bytes; null of others. */
export function kindOf(bytes: Uint8Array): Kind | null {
  const head = ascii(bytes, 0, HEAD);
  if (head.startsWith("\xff\xd8\xff")) return "jpeg";
  if (head.startsWith("\x89PNG\r\n\x1a\n")) return "png";
  if (/^RIFF....WEBP/s.test(head)) return "webp";
  if (head.startsWith("BM")) return "bmp";
  if (head.slice(4, 8) !== "ftyp") return null;
  const brands = head.slice(8, view(bytes).getUint32(0));
  return /avi[fs]/.test(brands) ? "avif" : /mif1|mif2|msf1|he[iv][cxms]|hev[cx]|miaf/.test(brands) ? "heic" : null;
}

const headOf = async (file: Blob) => new Uint8Array(await file.slice(0, HEAD).arrayBuffer());

/** The kind of a file, as `kindOf`; null where it cannot be read, too. */
export const contentOf = (file: Blob) => headOf(file).then(kindOf, () => null);

export interface Told {
  kind: Kind;
  file: Blob; // to be decoded
  surplus: Blob | null; // must look the same, unless data are missing
  size: Size | null; // as stored
  orientation: number; // to be applied; browsers apply that of others than WebP
  adobeRgb: boolean; // to be converted; browsers convert by profiles
  notes: string[]; // what is to be said of it
}

/**
 * Looks a file through.
 *
 * @throws Refused it is not one that can be enhanced.
 */
export async function inspect(file: Blob): Promise<Told> {
  const head = await headOf(file), kind = kindOf(head);
  if (!kind) {
    const start = ascii(head, 0, HEAD), other = OTHERS.find(([pattern]) => pattern.test(start));
    throw new Refused(other?.[1] ?? (file.size ? "it is no photo. Open a JPEG, PNG, WebP or AVIF." : "it is empty."));
  }
  const told: Told = {
    kind, file: file.slice(0, file.size, kind === "bmp" ? "image/bmp" : `image/${kind}`),
    surplus: null, size: null, orientation: 1, adobeRgb: false, notes: [],
  };
  const bytes = new Uint8Array(await file.arrayBuffer());
  try {
    await { jpeg, png, webp, avif: heif, heic: heif, bmp: () => {} }[kind](bytes, told);
  } catch (error) {
    throw error instanceof RangeError || error instanceof TypeError ? new Refused(DAMAGED) : error;
  }
  return told;
}

/** Refuses HDR, by the numbers of ITU-T H.273; an ICC profile of version 4.4 may state them too. */
function refuseHdr(transfer: number, icc: Uint8Array | null = null): void {
  for (let i = 0; icc && i < view(icc).getUint32(128) && 144 + 12 * i <= icc.length; i++) {
    const at = 132 + 12 * i;
    if (ascii(icc, at, 4) === "cicp") transfer = icc[view(icc).getUint32(at + 4) + 9] ?? transfer;
  }
  const name = { 16: "PQ", 18: "HLG" }[transfer];
  if (name) throw new Refused(`it is HDR (${name}), which is not converted. Save it without HDR first.`);
}

const became8 = (bits: number) => (bits > 8 ? [`its ${bits} bits became 8`] : []);

function jpeg(bytes: Uint8Array, told: Told): void {
  const found = walk(bytes);
  if (!found.complete || (found.arithmetic && !found.hasEnd)) throw new Refused(DAMAGED);
  if (found.channels === 4 && !found.icc) throw new Refused("its colours are CMYK without a profile. Save it as RGB first.");
  if (found.icc) refuseHdr(0, found.icc);
  told.size = found.size;
  told.adobeRgb = found.channels === 3 && !found.icc && exif.isAdobeRgb(found.exif);
  if (!found.arithmetic) told.surplus = pictureAlone(bytes, found, true); // its encoders leave out what decoders can guess
  if (!found.hasEnd) {
    told.file = pictureAlone(bytes, found, false);
    told.notes.push("the file had no end marker");
  }
}

const withoutPrefix = (tags: Uint8Array) => (ascii(tags, 0, 6) === "Exif\0\0" ? tags.subarray(6) : tags);

/** Chunks of a PNG, whose checksums must be right, or of a WebP: name and content. */
function* chunks(bytes: Uint8Array): Generator<[string, Uint8Array]> {
  const isPng = bytes[0] === 0x89, data = view(bytes);
  const end = isPng ? bytes.length : 8 + data.getUint32(4, true);
  if (end > bytes.length) throw new Refused(DAMAGED);
  for (let at = isPng ? 8 : 12; at + 8 <= end;) {
    const length = data.getUint32(at + (isPng ? 0 : 4), !isPng), start = at + 8;
    if (start + length + (isPng ? 4 : 0) > end) throw new Refused(DAMAGED);
    if (isPng && crc32(bytes.subarray(at + 4, start + length)) !== data.getUint32(start + length)) throw new Refused(DAMAGED);
    const name = ascii(bytes, at + (isPng ? 4 : 0), 4);
    yield [name, bytes.subarray(start, start + length)];
    if (name === "IEND") return;
    at = start + length + (isPng ? 4 : length % 2);
  }
  if (isPng) throw new Refused(DAMAGED);
}

async function inflated(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([bytes as BlobPart]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function png(bytes: Uint8Array, told: Told): Promise<void> {
  let icc: Uint8Array | null = null, transfer: number | null = null, tags: Uint8Array | null = null, colored = false;
  for (const [name, body] of chunks(bytes)) {
    if (name === "IHDR") {
      told.size = { width: view(body).getUint32(0), height: view(body).getUint32(4) };
      told.notes.push(...became8(body[8]!));
      colored = (body[9]! & 2) > 0;
    } else if (name === "cICP") transfer = body[1]!;
    else if (name === "iCCP") icc = await inflated(body.subarray(body.indexOf(0) + 2)).catch(() => null);
    else if (name === "eXIf") tags = body;
  }
  refuseHdr(transfer ?? 0, transfer === null ? icc : null);
  told.adobeRgb = colored && transfer === null && !icc && exif.isAdobeRgb(tags);
}

function webp(bytes: Uint8Array, told: Told): void {
  let icc: Uint8Array | null = null, tags: Uint8Array | null = null;
  for (const [name, body] of chunks(bytes)) {
    const data = view(body);
    if (name === "VP8X") {
      told.size = { width: (data.getUint32(4, true) & 0xffffff) + 1, height: (data.getUint32(6, true) >>> 8) + 1 };
    } else if (name === "VP8 ") {
      told.size ??= { width: data.getUint16(6, true) & 0x3fff, height: data.getUint16(8, true) & 0x3fff };
    } else if (name === "VP8L") {
      const bits = data.getUint32(1, true);
      told.size ??= { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    } else if (name === "ICCP") icc = body;
    else if (name === "EXIF") tags = withoutPrefix(body);
  }
  refuseHdr(0, icc);
  told.adobeRgb = !icc && exif.isAdobeRgb(tags);
  told.orientation = exif.orientationOf(tags);
  if (tags && told.orientation > 1) { // a browser that would turn it is not to see that
    const copy = bytes.slice();
    copy.fill(0, tags.byteOffset - bytes.byteOffset, tags.byteOffset - bytes.byteOffset + tags.length);
    told.file = new Blob([copy], { type: "image/webp" });
  }
}

function heif(bytes: Uint8Array, told: Told): void {
  const { size, bits, transfer, icc } = primary(bytes);
  refuseHdr(icc ? 0 : transfer, icc);
  told.size = size;
  told.notes.push(...became8(bits));
}

/** The EXIF data of a JPEG, PNG or WebP: a TIFF structure without pixels; null where there is none. */
export function exifOf(bytes: Uint8Array): Uint8Array | null {
  const kind = kindOf(bytes);
  if (kind === "jpeg") return walk(bytes).exif;
  if (kind !== "png" && kind !== "webp") return null;
  for (const [name, body] of chunks(bytes)) if (name === "eXIf" || name === "EXIF") return withoutPrefix(body);
  return null;
}
