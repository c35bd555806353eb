// Saves enhanced photographs as downloads.

import { forPicture, withExif } from "./exif.js";
import { exifOf } from "./formats.js";
import type { Enhanced } from "./engine.js";
import type { Photo } from "./photos.js";

function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Saves a photograph; `keepExif` hands date, place and camera data on. */
export async function save(photo: Photo, { blob, width, height }: Enhanced, keepExif: boolean): Promise<string> {
  let saved = blob;
  if (keepExif) {
    const exif = exifOf(new Uint8Array(await photo.file.arrayBuffer()));
    const kept = exif && forPicture(exif, { width, height });
    if (kept) saved = await withExif(blob, kept);
  }
  const stem = photo.name.replace(/\.[^.]*$/, "");
  const name = `${stem}_enhanced.${blob.type === "image/png" ? "png" : "jpg"}`;
  download(saved, name);
  return name;
}
