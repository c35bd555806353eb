// ONNX Runtime in the worker: on the graphics chip through WebGPU, else on the processor through
// WebAssembly, with threads where the page is isolated from others.

import type * as Ort from "onnxruntime-web";
import type { Model, Run, Tensors } from "./network.js";

/** "auto" takes WebGPU where a graphics chip answers. */
export type Processor = "auto" | "webgpu" | "wasm";
export interface Place { provider: "webgpu" | "wasm"; library: "webgpu" | "wasm"; threads: number }

/** A failure that the page explains; `reason` is one of those in messages.ts. */
export class Failure extends Error {
  constructor(readonly reason: string, detail: string) {
    super(detail);
  }
}

const MOST_THREADS = 8; // more gain little on maps of a few hundred pixels

async function graphicsChip(processor: Processor): Promise<unknown> {
  if (processor === "wasm") return null;
  const gpu = (navigator as { gpu?: { requestAdapter(options: object): Promise<any> } }).gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  // A fallback adapter computes on the processor, and slower than WebAssembly.
  return adapter && (processor === "webgpu" || !adapter.info?.isFallbackAdapter) ? adapter : null;
}

async function stageFile(file: string, base: string): Promise<Uint8Array> {
  const response = await fetch(new URL(file, base));
  if (!response.ok) throw new Failure("model-missing", `${file}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

export class Runtime {
  private constructor(
    readonly model: Model, readonly place: Place,
    private readonly ort: typeof Ort, private readonly sessions: Ort.InferenceSession[],
    private readonly lost: Promise<never>,
  ) {}

  /**
   * Loads the model.
   *
   * @param library to load, where the graphics chip has failed before; null takes what fits.
   * @throws Failure the model or ONNX Runtime cannot be loaded, or the graphics chip fails.
   */
  static async start(base: string, processor: Processor, library: Place["library"] | null): Promise<Runtime> {
    const model: Model = JSON.parse(new TextDecoder().decode(await stageFile("model.json", base)));
    const adapter = await graphicsChip(processor);
    const place: Place = {
      provider: adapter ? "webgpu" : "wasm",
      library: library ?? (adapter ? "webgpu" : "wasm"),
      threads: self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, MOST_THREADS) : 1,
    };
    let ort: typeof Ort;
    try {
      ort = await import(new URL(`ort/ort.${place.library}.bundle.min.mjs`, base).href);
    } catch (error) {
      throw new Failure("runtime", String(error));
    }
    const binary = { wasm: "ort-wasm-simd-threaded.wasm", webgpu: "ort-wasm-simd-threaded.asyncify.wasm" };
    ort.env.wasm.wasmPaths = { wasm: new URL(`ort/${binary[place.library]}`, base).href };
    ort.env.wasm.numThreads = place.threads;
    ort.env.logLevel = "error";
    if (adapter) (ort.env.webgpu as { adapter: unknown }).adapter = adapter;
    const sessions: Ort.InferenceSession[] = [];
    for (const { file } of model.stages) {
      const bytes = await stageFile(`model/${file}`, base);
      try {
        sessions.push(await ort.InferenceSession.create(bytes, { executionProviders: [place.provider] }));
      } catch (error) {
        throw new Failure(adapter ? "graphics" : /no available backend/.test(String(error)) ? "runtime" : "model", `${file}: ${error}`);
      }
    }
    const device = adapter && await (ort.env.webgpu as { device: Promise<any> }).device;
    const lost = new Promise<never>((_, reject) => {
      device?.lost.then((info: { message: string }) => reject(new Failure("graphics", info.message)));
    });
    lost.catch(() => {}); // between photographs nobody waits for it
    return new Runtime(model, place, ort, sessions, lost);
  }

  readonly run: Run = async (stage, inputs) => {
    const { Tensor } = this.ort, feeds: Record<string, Ort.Tensor> = {};
    const types = { Uint8Array: "uint8", Float32Array: "float32", Int32Array: "int32" } as const;
    for (const [name, { data, dims }] of Object.entries(inputs)) {
      const type = types[data.constructor.name as keyof typeof types];
      feeds[name] = new Tensor(type as "float32", data as Float32Array, dims);
    }
    try {
      return await Promise.race([this.sessions[stage]!.run(feeds), this.lost]) as unknown as Tensors;
    } catch (error) {
      if (error instanceof Failure) throw error;
      if (this.place.provider === "webgpu") throw new Failure("graphics", String(error));
      throw new Failure(isOutOfMemory(error) ? "memory" : "run", String(error));
    }
  };
}

/** Whether an error of the browser or of ONNX Runtime says that memory has run out. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof RangeError || typeof error === "number" // a C++ exception
    || /memory|alloc|out of bounds|aborted/i.test(String(error));
}
