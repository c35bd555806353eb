// The list of photographs beside the viewer.

import { megapixels } from "./messages.js";
import type { Photo, Photos } from "./photos.js";

function state(photo: Photo): string {
  if (photo.state === "working") return photo.share ? `${Math.round(100 * photo.share)} %` : "opening";
  if (photo.state === "done") return `enhanced, ${megapixels(photo.result!.width * photo.result!.height)}`;
  if (photo.state === "failed") return photo.failed?.reason === "too-large" ? "too large" : "failed";
  return photo.state;
}

function item(photos: Photos, photo: Photo): HTMLLIElement {
  const li = document.createElement("li"), button = document.createElement("button");
  button.className = "photo";
  button.onclick = () => photos.select(photo);
  const thumb = document.createElement("span"), what = document.createElement("span");
  thumb.className = "thumb";
  what.className = "what";
  what.append(document.createElement("b"), document.createElement("small"));
  what.firstChild!.textContent = photo.name;
  button.append(thumb, what);
  li.append(button);
  return li;
}

const items = new WeakMap<Photo, HTMLLIElement>();

/** Brings the list up to date, keeping what is there, so that focus stays where it is. */
export function showList(list: HTMLElement, photos: Photos): void {
  const wanted = photos.all.map((photo) => {
    if (!items.has(photo)) items.set(photo, item(photos, photo));
    return items.get(photo)!;
  });
  if (wanted.length !== list.children.length || wanted.some((li, i) => list.children[i] !== li)) {
    list.replaceChildren(...wanted);
  }
  for (const [i, photo] of photos.all.entries()) {
    const button = wanted[i]!.firstElementChild as HTMLElement;
    const small = button.querySelector("small")!, thumb = button.querySelector(".thumb")!;
    const text = state(photo);
    if (small.textContent !== text) small.textContent = text;
    small.className = photos.pending.includes(photo) ? "pending" : photo.state;
    button.ariaCurrent = String(photo === photos.selected);
    button.title = `${photo.name}: ${text}`;
    const shown = thumb.firstElementChild as HTMLImageElement | null;
    if (photo.thumbnail && shown?.src !== photo.thumbnail) {
      thumb.replaceChildren(Object.assign(new Image(), { src: photo.thumbnail, alt: "" }));
    }
  }
}
