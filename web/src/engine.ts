// The page's side of the worker: starts it, gives it one photograph at a time, ends it to cancel.

import type { Job, Reply, Start } from "./worker.js";
import type { Place, Processor } from "./runtime.js";

export interface Ready { place: Place; details: [string, string][] }
export interface Enhanced { blob: Blob; width: number; height: number; notes: string[]; seconds: number }
export interface Failed { reason: string; detail: string; pixels: number; offered: number }

/** Thrown to who waits for a photograph that is cancelled. */
export class Cancelled extends Error {}

export class EngineError extends Error {
  constructor(readonly failed: Failed) {
    super(failed.detail);
  }
}

interface Hooks {
  onReady(ready: Ready): void;
  onGraphicsLost(): void;
  onBefore(id: number, blob: Blob): void;
  onThumbnail(id: number, blob: Blob): void;
  onProgress(id: number, share: number): void;
}

// After these the worker can go on; after others its memory may be full or its state broken.
const HARMLESS = ["decode", "too-large"];

export class Engine {
  private worker: Worker | null = null;
  private ready: Promise<Ready> | null = null;
  private settle: { resolve(reply: Reply): void; reject(error: Error): void } | null = null;
  private library: Place["library"] | null = null;

  constructor(private readonly base: string, public processor: Processor, private readonly hooks: Hooks) {}

  /** Starts the worker and loads the model, unless that is done. */
  start(): Promise<Ready> {
    return this.ready ??= this.load();
  }

  private async load(): Promise<Ready> {
    // A worker from a blob is under the page's Content-Security-Policy, wherever the page is served.
    const script = `import ${JSON.stringify(new URL("worker.js", this.base).href)};`;
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    const worker = this.worker = new Worker(url, { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.type === "before") this.hooks.onBefore(data.id, data.blob);
      else if (data.type === "thumbnail") this.hooks.onThumbnail(data.id, data.blob);
      else if (data.type === "progress") this.hooks.onProgress(data.id, data.share);
      else this.settle?.resolve(data);
    };
    worker.onerror = (event) => { // its script is missing, or the browser has ended it
      event.preventDefault?.();
      this.settle?.reject(new EngineError({ reason: "run", detail: event.message ?? "", pixels: 0, offered: 0 }));
    };
    try {
      const { place, details } = await this.ask(
        { type: "start", base: this.base, processor: this.processor, library: this.library },
      ) as Ready;
      this.library = place.library;
      this.hooks.onReady({ place, details });
      return { place, details };
    } catch (error) {
      this.end(error as Error);
      return this.again(error) ? this.start() : Promise.reject(error);
    } finally {
      URL.revokeObjectURL(url);
    }
  }

  /** Whether it is worth trying again, on the processor, after the graphics chip failed. */
  private again(error: unknown): boolean {
    if (!(error instanceof EngineError) || error.failed.reason !== "graphics") return false;
    this.processor = "wasm";
    this.library = "webgpu"; // it computes on the processor too, and is here already
    this.hooks.onGraphicsLost();
    return true;
  }

  private ask(message: Start | Job): Promise<Reply> {
    return new Promise<Reply>((resolve, reject) => {
      this.settle = { resolve, reject };
      this.worker!.postMessage(message);
    }).then((reply) => {
      if (reply.type === "failed") throw new EngineError(reply);
      return reply;
    });
  }

  /**
   * Enhances a photograph, or encodes in another format what was enhanced last.
   *
   * @throws Cancelled `cancel` was called.
   * @throws EngineError it failed.
   */
  async enhance(job: Omit<Job, "type">): Promise<Enhanced> {
    try {
      await this.start();
      return await this.ask({ type: "enhance", ...job }) as unknown as Enhanced;
    } catch (error) {
      if (error instanceof EngineError && !HARMLESS.includes(error.failed.reason)) this.end(error);
      if (this.again(error)) return this.enhance(job);
      throw error;
    }
  }

  /** Ends what is under way, in the middle of a window too; the next photograph starts a new worker. */
  cancel(): void {
    this.end(new Cancelled());
  }

  private end(error: Error): void {
    this.worker?.terminate();
    this.worker = this.ready = null;
    const { settle } = this;
    this.settle = null;
    settle?.reject(error);
  }
}
