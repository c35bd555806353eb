// Boxes of HEIF and AVIF (ISO/IEC 14496-12, 23008-12): what the primary picture is.

import { ascii, view, type Size } from "./bytes.js";

export interface Heif { size: Size | null; bits: number; transfer: number; icc: Uint8Array | null }

/** The boxes in a stretch of bytes: type and content. */
function* boxes(bytes: Uint8Array): Generator<[string, Uint8Array]> {
  for (let at = 0; at + 8 <= bytes.length;) {
    const data = view(bytes), short = data.getUint32(at);
    const head = short === 1 ? 16 : 8;
    const size = short === 1 ? Number(data.getBigUint64(at + 8)) : short || bytes.length - at;
    if (size < head || at + size > bytes.length) throw new RangeError("a box is longer than what holds it");
    yield [ascii(bytes, at + 4, 4), bytes.subarray(at + head, at + size)];
    at += size;
  }
}

/** Reads what a file says of its primary picture. Throws RangeError where it is damaged. */
export function primary(bytes: Uint8Array): Heif {
  const heif: Heif = { size: null, bits: 8, transfer: 2, icc: null };
  for (const [kind, meta] of boxes(bytes)) {
    if (kind !== "meta") continue;
    const inside = Object.fromEntries(boxes(meta.subarray(4)));
    if (!inside.pitm || !inside.iprp) break;
    const item = inside.pitm[0] ? view(inside.pitm).getUint32(4) : view(inside.pitm).getUint16(4);
    for (const [name, body] of properties(inside.iprp, item)) {
      const data = view(body);
      if (name === "ispe") heif.size = { width: data.getUint32(4), height: data.getUint32(8) };
      else if (name === "pixi") heif.bits = body[5]!;
      else if (name === "colr" && ascii(body, 0, 4) === "nclx") heif.transfer = data.getUint16(6);
      else if (name === "colr") heif.icc = body.subarray(4);
    }
    break;
  }
  return heif;
}

/** Kinds and contents of the properties of an item. */
function properties(iprp: Uint8Array, item: number): [string, Uint8Array][] {
  const every: [string, Uint8Array][] = [], ofItem: [string, Uint8Array][] = [];
  for (const [kind, body] of boxes(iprp)) {
    if (kind === "ipco") every.push(...boxes(body));
    if (kind !== "ipma") continue;
    const data = view(body), wide = body[3]! & 1, long = body[0]! > 0;
    for (let at = 8, entries = data.getUint32(4); entries > 0; entries--) {
      const of = long ? data.getUint32(at) : data.getUint16(at);
      at += long ? 4 : 2;
      for (let count = data.getUint8(at++); count > 0; count--, at += wide ? 2 : 1) {
        const index = wide ? data.getUint16(at) & 0x7fff : data.getUint8(at) & 0x7f;
        if (of === item && every[index - 1]) ofItem.push(every[index - 1]!);
      }
    }
  }
  return ofItem;
}
