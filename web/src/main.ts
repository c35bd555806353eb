// The page: opens photographs, shows how they fare, and saves them.

import { setUpCamera } from "./camera.js";
import { Engine, EngineError, type Ready } from "./engine.js";
import { showList } from "./list.js";
import { megapixels, ofModel, ofPhoto } from "./messages.js";
import { contentOf } from "./formats.js";
import { goOffline } from "./offline.js";
import { Photos, type Photo } from "./photos.js";
import type { Format } from "./pictures.js";
import type { Processor } from "./runtime.js";
import { save } from "./save.js";
import { Viewer } from "./viewer.js";

const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const each = (selector: string, use: (element: HTMLElement) => void) =>
  document.querySelectorAll<HTMLElement>(selector).forEach(use);
const setting = (name: string, otherwise: string) => localStorage.getItem(name) ?? otherwise;

const notice = (message: string) => { byId("notice").textContent = message; };
const say = (message: string) => { byId("status").textContent = message; };

const viewer = new Viewer();
const format = byId<HTMLSelectElement>("format");
format.value = setting("format", "image/jpeg");
const processor = byId<HTMLSelectElement>("processor");
processor.value = setting("processor", "auto");

const engine = new Engine(document.baseURI, processor.value as Processor, {
  onReady: showPlace,
  onGraphicsLost: () => notice("The graphics chip failed; going on with the processor."),
  onBefore: (id, blob) => replaceUrl(id, "url", blob),
  onThumbnail: (id, blob) => replaceUrl(id, "thumbnail", blob),
  onProgress: (id, share) => {
    const photo = photos.find(id);
    if (!photo) return;
    photo.share = share;
    show();
  },
});
const photos = new Photos(engine, format.value as Format, show, (photo) => {
  if (photo.state === "done") say(`${photo.name} is enhanced.`);
  else if (photo.state === "cancelled") say(`${photo.name} is cancelled.`);
  else if (photo.failed && ofModel(photo.failed)) notice(ofModel(photo.failed)!);
});

function replaceUrl(id: number, which: "url" | "thumbnail", blob: Blob): void {
  const photo = photos.find(id);
  if (!photo) return;
  if (photo[which]) URL.revokeObjectURL(photo[which]);
  photo[which] = URL.createObjectURL(blob);
  show();
}

function showPlace({ place, details }: Ready): void {
  const threads = place.threads > 1 ? `${place.threads} threads` : "one thread";
  const slow = self.crossOriginIsolated ? "" : " Serve it over https:// or from localhost for more threads, and for use offline.";
  byId("place").textContent = place.provider === "webgpu"
    ? "The model runs on the graphics chip (WebGPU)."
    : `The model runs on the processor (WebAssembly, ${threads}).${place.threads > 1 ? "" : slow}`;
  const list = byId("details");
  list.replaceChildren();
  for (const [term, text] of details) {
    list.append(Object.assign(document.createElement("dt"), { textContent: term }));
    list.append(Object.assign(document.createElement("dd"), { textContent: text }));
  }
}

function facts({ result }: Photo): string {
  if (!result) return "";
  const { width, height, blob, notes, seconds } = result;
  const bytes = blob.size < 1e6 ? `${Math.ceil(blob.size / 1e3)} kB` : `${(blob.size / 1e6).toFixed(1)} MB`;
  return [`${width} × ${height} pixels, ${bytes}, took ${seconds.toFixed(1)} s`, ...notes].join("; ");
}

/** Shows the state of everything; called whenever something changed. */
function show(): void {
  const { selected: photo, all } = photos;
  byId("start").hidden = all.length > 0;
  byId("editor").hidden = all.length === 0;
  showList(byId("list"), photos);
  byId("stop").hidden = photos.pending.length < 2;
  byId<HTMLButtonElement>("save").disabled = photo?.state !== "done";
  byId("save-all").hidden = all.filter(({ state }) => state === "done").length < 2;
  byId("facts").textContent = photo ? facts(photo) : "";

  const busy = photo?.state === "working" || photo?.state === "waiting";
  byId("busy").hidden = !busy;
  if (photo && busy) {
    const before = photos.pending.indexOf(photo);
    byId("busy-text").textContent = photo.state === "waiting" && before > 0
      ? `Waiting for ${before === 1 ? "another photo" : `${before} other photos`}`
      : photo.share ? `Enhancing: ${Math.round(100 * photo.share)} %` : "Opening the photo";
    const bar = byId<HTMLProgressElement>("progress");
    if (photo.state === "working" && photo.share) bar.value = photo.share;
    else bar.removeAttribute("value");
  }

  const trouble = photo?.state === "failed" || photo?.state === "cancelled";
  byId("trouble").hidden = !trouble;
  if (photo && trouble) {
    const smaller = photo.failed?.offered;
    byId("trouble-text").textContent = photo.failed ? ofPhoto(photo.name, photo.failed) : `${photo.name}: cancelled.`;
    byId("remedy").textContent = smaller ? `Enhance at ${megapixels(smaller)}` : photo.failed ? "Try again" : "Enhance";
    byId("remedy").hidden = photo.failed?.reason === "decode" || (photo.failed?.reason === "too-large" && !smaller);
  }
  void showPicture(photo);
}

let shown = "";
async function showPicture(photo: Photo | null): Promise<void> {
  const unreadable = photo?.failed && ["decode", "too-large"].includes(photo.failed.reason);
  const before = photo && !unreadable ? photo.url : null, after = photo?.result?.url ?? null;
  const key = `${before} ${after}`;
  if (key === shown) return; // progress alone
  shown = key;
  await viewer.show(photo?.name ?? "", before, after);
}

/** Opens files; those that neither are nor claim to be pictures are left out. */
async function open(files: Iterable<File>): Promise<void> {
  notice("");
  const all = [...files];
  const isImage = async (file: File) => !file.type || file.type.startsWith("image/") || await contentOf(file) !== null;
  const wanted = await Promise.all(all.map(isImage)), images = all.filter((_, i) => wanted[i]);
  if (images.length < all.length) notice(`${all.length - images.length === 1 ? "One file is" : "Some files are"} no photo and left out.`);
  photos.add(images);
}

async function saveShown(): Promise<void> {
  if (photos.selected) await savePhotos([photos.selected]);
}

async function savePhotos(chosen: Photo[]): Promise<void> {
  const names: string[] = [];
  for (const photo of chosen) {
    const enhanced = await photos.inFormat(photo);
    if (enhanced) names.push(await save(photo, enhanced, byId<HTMLInputElement>("keep").checked));
  }
  if (names.length) say(`Saved: ${names.join(", ")}`);
}

const takePhoto = setUpCamera((photo) => open([photo]), notice);
const input = byId<HTMLInputElement>("file");
each(".open", (button) => { button.onclick = () => input.click(); });
each(".camera", (button) => { button.onclick = takePhoto; });
input.onchange = () => {
  open(input.files ?? []);
  input.value = "";
};
byId("example").onclick = async () => {
  const response = await fetch("example.jpg");
  open([new File([await response.blob()], "example.jpg", { type: "image/jpeg" })]);
};
byId("cancel").onclick = () => photos.selected && photos.cancel(photos.selected);
byId("stop").onclick = () => photos.cancelAll();
byId("remedy").onclick = () => photos.selected && photos.enhance(photos.selected, photos.selected.failed?.offered || photos.selected.pixels);
byId("dismiss").onclick = () => photos.selected && photos.remove(photos.selected);
byId("save").onclick = saveShown;
byId("save-all").onclick = () => savePhotos(photos.all.filter(({ state }) => state === "done"));
format.onchange = () => {
  localStorage.setItem("format", format.value);
  photos.format = format.value as Format;
};
processor.onchange = () => {
  localStorage.setItem("processor", processor.value);
  location.reload();
};

const about = byId<HTMLDialogElement>("about");
byId("about-button").onclick = () => about.showModal();
byId("about-close").onclick = () => about.close();

let depth = 0; // dragging over a child leaves its parent
const dropping = (change: number) => (event: DragEvent) => {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  depth = Math.max(0, depth + change);
  byId("drop").hidden = depth === 0;
};
document.ondragenter = dropping(1);
document.ondragleave = dropping(-1);
document.ondragover = dropping(0);
document.ondrop = (event) => {
  event.preventDefault();
  depth = 0;
  byId("drop").hidden = true;
  open(event.dataTransfer?.files ?? []);
};
document.onpaste = (event) => open(event.clipboardData?.files ?? []);

const offline = await goOffline();
if (offline !== "reloading") {
  document.documentElement.dataset.ready = offline;
  engine.start().then(() => {
    if (offline === "ready") byId("offline").textContent = "The page is on this device now and works without internet.";
    document.documentElement.dataset.ready = "model";
  }, (error) => {
    if (error instanceof EngineError) notice(ofModel(error.failed) ?? error.message);
  });
  if (offline === "unavailable") byId("offline").textContent = "Only where the page comes from https:// or localhost.";
}
