// Runs an exported network over a photograph, stage by stage and window by window, with the result
// of the network on the whole. What a stage is and which tensors it takes is told by stages.json
// (see `python -m dped_jax.export`); build.mjs makes model.json of it.
//
// A plane is (height, width, channels), row by row: uint8 for the photograph, float32 for others.

import { merged, type Rows } from "./statistics.js";
import { cells, windowOf, type Cell } from "./windows.js";

export type Tensors = Record<string, { data: Uint8Array | Float32Array | Int32Array; dims: number[] }>;
/** Runs a stage by its number. */
export type Run = (stage: number, inputs: Tensors) => Promise<Tensors>;

export interface Stage {
  file: string;
  inputs: string[]; // planes that it takes windows of
  statistics: string[]; // of the whole photograph, measured by earlier stages
  outputs: string[];
  channels: number[]; // of each output
  measures: string | null;
  margin: number; // pixels around a window's cell that it must see
  region: boolean; // takes the cell's place in the window and cuts its outputs itself
  work: number; // share of the network's work
}

export interface Model {
  details: [string, string][]; // to be shown
  pixels: "uint8" | "float32"; // of photo and enhanced
  whole: boolean; // must see the photograph in one piece
  side: [number, number]; // at most so many rows and columns in a cell
  stride: number;
  bytesPerPixel: number; // that computing takes besides the photograph, for each of its pixels
  stages: Stage[];
}

type Plane = { data: Uint8Array | Float32Array; channels: number };

function cut(plane: Plane, width: number, window: Cell): { data: Uint8Array | Float32Array; dims: number[] } {
  const { top, bottom, left, right } = window;
  const rows = bottom - top, length = (right - left) * plane.channels;
  const data = plane.data instanceof Uint8Array ? new Uint8Array(rows * length) : new Float32Array(rows * length);
  for (let y = 0; y < rows; y++) {
    const start = ((top + y) * width + left) * plane.channels;
    data.set(plane.data.subarray(start, start + length), y * length);
  }
  return { data, dims: [1, rows, right - left, plane.channels] };
}

/** Puts the cell's part of what a stage gave into a plane; `offset` is the cell's corner in it. */
function put(plane: Plane, width: number, cell: Cell, given: { data: ArrayLike<number>; dims: number[] }, offset: [number, number]): void {
  const values = given.data as Float32Array;
  const length = (cell.right - cell.left) * plane.channels;
  for (let y = cell.top; y < cell.bottom; y++) {
    const start = ((y - cell.top + offset[0]) * given.dims[2]! + offset[1]) * plane.channels;
    plane.data.set(values.subarray(start, start + length), (y * width + cell.left) * plane.channels);
  }
}

const toFloats = (values: Uint8Array) => Float32Array.from(values, (value) => value / 255);
const toBytes = (values: Float32Array) => // this array type clips and rounds half to even
  new Uint8ClampedArray(Float32Array.from(values, (value) => value * 255));

/**
 * Enhances a photograph.
 *
 * @param photo (height, width, 3) RGB.
 * @param onProgress told the share of the work that is done.
 * @returns the enhanced photograph, as `photo`.
 */
export async function enhance(
  model: Model, run: Run, photo: Uint8Array, height: number, width: number,
  onProgress: (share: number) => void,
): Promise<Uint8Array> {
  const planes: Record<string, Plane> = { photo: { data: photo, channels: 3 } };
  const statistics: Tensors = {};
  let done = 0;
  for (const [number, stage] of model.stages.entries()) {
    const made: Record<string, Plane> = {};
    for (const [i, name] of stage.outputs.entries()) {
      const channels = stage.channels[i]!, size = height * width * channels;
      made[name] = { channels, data: name === "enhanced" ? new Uint8Array(size) : new Float32Array(size) };
    }
    const rows: Rows[] = [];
    const side: [number, number] = model.whole ? [height, width] : model.side;
    for (const cell of cells(height, width, side, model.stride)) {
      const { window, region } = windowOf(cell, height, width, stage.margin);
      const inputs: Tensors = {};
      for (const name of stage.inputs) {
        const part = cut(planes[name]!, width, window);
        const convert = name === "photo" && model.pixels === "float32";
        inputs[name] = convert ? { ...part, data: toFloats(part.data as Uint8Array) } : part;
      }
      for (const name of stage.statistics) inputs[name] = statistics[name]!;
      if (stage.region) inputs.region = { data: Int32Array.from(region), dims: [4] };
      const given = await run(number, inputs);
      for (const name of stage.outputs) {
        const output = given[name]!;
        const convert = name === "enhanced" && model.pixels === "float32";
        const values = convert ? { ...output, data: toBytes(output.data as Float32Array) } : output;
        put(made[name]!, width, cell, values, stage.region ? [0, 0] : [region[0], region[2]]);
      }
      if (stage.measures) rows.push(given.statistics as Rows);
      const area = (cell.bottom - cell.top) * (cell.right - cell.left);
      done += stage.work * area / (height * width);
      onProgress(done);
    }
    if (stage.measures) statistics[stage.measures] = merged(rows);
    Object.assign(planes, made); // only now: windows of this stage saw the planes before it
    const needed = new Set(["enhanced", ...model.stages.slice(number + 1).flatMap(({ inputs }) => inputs)]);
    for (const name of Object.keys(planes)) if (!needed.has(name)) delete planes[name];
  }
  return planes.enhanced!.data as Uint8Array;
}
