// The photographs that were opened, and their way through the engine: one after another, in the
// order in which they were opened, the one that is looked at first.

import { Cancelled, EngineError, type Engine, type Enhanced, type Failed } from "./engine.js";
import type { Format } from "./pictures.js";

export interface Photo {
  id: number;
  name: string;
  file: Blob;
  url: string; // of the file, or of a picture that shows it as it is
  thumbnail: string | null;
  state: "waiting" | "working" | "done" | "cancelled" | "failed";
  share: number; // of the work that is done
  pixels: number | null; // to be reduced to
  failed: Failed | null;
  result: (Enhanced & { url: string; format: Format }) | null;
}

/** What a device takes at most. Browsers that tell its memory tell at most 8 GB. */
const devicePixels = () => ((navigator as { deviceMemory?: number }).deviceMemory ?? 8) * 12e6;

export class Photos {
  readonly all: Photo[] = [];
  selected: Photo | null = null;
  private working: Photo | null = null;
  private nextId = 1;

  /** `onChange` is told whenever something is to be shown anew, `onEnd` of photographs that left the queue. */
  constructor(
    private readonly engine: Engine, public format: Format,
    private readonly onChange: () => void, private readonly onEnd: (photo: Photo) => void,
  ) {}

  add(files: Iterable<Blob & { name?: string }>): void {
    const added = [...files].map((file): Photo => ({
      id: this.nextId++, name: file.name || "photo.jpg", file, url: URL.createObjectURL(file),
      thumbnail: null, state: "waiting", share: 0, pixels: null, failed: null, result: null,
    }));
    if (!added.length) return;
    this.all.push(...added);
    this.select(added[0]!);
  }

  select(photo: Photo | null): void {
    this.selected = photo;
    this.onChange();
    void this.work();
  }

  /** Puts a photograph into the queue (again), perhaps at another size. */
  enhance(photo: Photo, pixels: number | null = photo.pixels): void {
    Object.assign(photo, { state: "waiting", pixels, failed: null, share: 0 });
    this.select(photo);
  }

  cancel(photo: Photo): void {
    if (photo === this.working) this.engine.cancel();
    else if (photo.state === "waiting") photo.state = "cancelled";
    this.onChange();
  }

  cancelAll(): void {
    for (const photo of this.all) if (photo.state === "waiting") photo.state = "cancelled";
    if (this.working) this.cancel(this.working);
    this.onChange();
  }

  remove(photo: Photo): void {
    this.cancel(photo);
    const at = this.all.indexOf(photo);
    this.all.splice(at, 1);
    for (const url of [photo.url, photo.thumbnail, photo.result?.url]) if (url) URL.revokeObjectURL(url);
    if (this.selected === photo) this.select(this.all[Math.min(at, this.all.length - 1)] ?? null);
    else this.onChange();
  }

  find = (id: number): Photo | undefined => this.all.find((photo) => photo.id === id);

  get pending(): Photo[] {
    return this.all.filter(({ state }) => state === "waiting" || state === "working");
  }

  /** The enhanced file in the chosen format; enhances again if it is there in another one only. */
  async inFormat(photo: Photo): Promise<Enhanced | null> {
    const { format } = this;
    while (photo.result?.format !== format) {
      if (photo.state === "done") photo.state = "waiting";
      else if (photo.state !== "waiting" && photo.state !== "working") return null;
      await this.work();
    }
    return photo.result;
  }

  private next(): Photo | undefined {
    return this.selected?.state === "waiting" ? this.selected : this.all.find(({ state }) => state === "waiting");
  }

  private queue: Promise<void> | null = null;

  /** Enhances all that waits; resolves when nothing does. */
  private work(): Promise<void> {
    return this.queue ??= this.drain().finally(() => { this.queue = null; });
  }

  private async drain(): Promise<void> {
    for (let photo = this.next(); photo; photo = this.next()) {
      this.working = photo;
      Object.assign(photo, { state: "working", share: 0 });
      this.onChange();
      const { format } = this;
      try {
        const job = { id: photo.id, file: photo.file, format, pixels: photo.pixels, devicePixels: devicePixels() };
        const enhanced = await this.engine.enhance(job);
        if (photo.result) URL.revokeObjectURL(photo.result.url);
        photo.result = { ...enhanced, format, url: URL.createObjectURL(enhanced.blob) };
        photo.state = "done";
      } catch (error) {
        photo.state = error instanceof Cancelled ? "cancelled" : "failed";
        if (error instanceof EngineError) photo.failed = error.failed;
        else if (!(error instanceof Cancelled)) throw error;
      } finally {
        this.working = null;
      }
      this.onChange();
      this.onEnd(photo);
    }
  }
}
