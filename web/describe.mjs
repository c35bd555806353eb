// Reads an exported model: its files, and what the page must know of it (`Model` in src/network.ts).

import * as fs from "node:fs";
import * as path from "node:path";

const REMEDY = "python -m dped_jax.export --format=onnx writes one";
const SIDES = { unet: [768, 1024] }; // rows and columns of a cell; others compute on all pixels
const SIDE = [256, 512];

/** Fields of a protobuf message: number and value, a number for varints and bytes for the rest. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1;
    for (;;) {
      if (at >= bytes.length) throw new Error("cut short");
      const byte = bytes[at++];
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
      factor *= 128;
    }
  };
  while (at < bytes.length) {
    const key = varint(), kind = key % 8;
    if (kind === 0) {
      yield [key >> 3, varint()];
      continue;
    }
    const length = kind === 2 ? varint() : { 1: 8, 5: 4 }[kind];
    if (!length && length !== 0 || at + length > bytes.length) throw new Error("cut short");
    yield [key >> 3, bytes.subarray(at, at + length)];
    at += length;
  }
}

/** `metadata_props` of an ONNX file. */
function metadata(bytes) {
  const found = {};
  for (const [number, value] of fields(bytes)) {
    if (number !== 14) continue;
    const { 1: key, 2: text } = Object.fromEntries(fields(value));
    found[new TextDecoder().decode(key)] = new TextDecoder().decode(text);
  }
  return found;
}

/** Of a plain file, what stages.json would say. */
function ofFile(file) {
  const name = path.basename(file);
  const bytes = fs.readFileSync(file);
  let told;
  try {
    told = metadata(bytes);
  } catch {
    throw new Error(`${file}: not an ONNX model, or damaged; ${REMEDY}`);
  }
  if (told.format !== "dped_jax") throw new Error(`${file}: not an ONNX model that dped_jax exported; ${REMEDY}`);
  const stage = {
    file: name, inputs: ["photo"], statistics: [], outputs: ["enhanced"], channels: [3], measures: null,
    margin: Number(told.margin), region: false,
  };
  const json = (text) => (text ? JSON.parse(text) : undefined);
  const whole = told.statistics !== "0";
  return { ...told, config: json(told.config), scores: json(told.scores), stride: Number(told.stride), whole, stages: [stage] };
}

function ofFolder(folder) {
  const file = path.join(folder, "stages.json");
  if (!fs.existsSync(file)) throw new Error(`${folder}: holds no stages.json; ${REMEDY} with --stages`);
  const told = JSON.parse(fs.readFileSync(file, "utf8"));
  return { ...told, whole: false, stages: told.stages.map((stage) => ({ ...stage, region: true })) };
}

/** Shares of the work: as told, else a small one for stages that only measure. */
function shares(stages) {
  if (stages.every(({ work }) => work > 0)) return stages.map(({ work }) => work);
  const weights = stages.map(({ outputs }) => (outputs.length ? 1 : 0.05));
  const sum = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / sum);
}

function details({ architecture, step, config, scores, validation_psnr, license }) {
  const found = [["Network", `${architecture}, ${config?.generator?.width ?? "?"} channels`]];
  if (step !== undefined) found.push(["Training step", String(step)]);
  const score = scores?.enhanced;
  if (score) found.push(["Scores", `PSNR ${score.psnr.toFixed(2)} dB, MS-SSIM ${score.ms_ssim.toFixed(4)} (${scores.protocol ?? "test pairs"})`]);
  else if (validation_psnr) found.push(["Validation PSNR", `${Number(validation_psnr).toFixed(2)} dB`]);
  if (license) found.push(["Licence", license]);
  return found;
}

async function check(name, bytes) {
  const ort = await import("onnxruntime-web/wasm");
  ort.env.wasm.numThreads = 1;
  try {
    await (await ort.InferenceSession.create(new Uint8Array(bytes))).release();
  } catch (error) {
    throw new Error(`${name}: not a model that ONNX Runtime can load (${String(error.message).split("\n")[0]})`);
  }
}

/**
 * Reads and checks a model.
 *
 * @param model path of an ONNX file or of a folder of stages.
 * @returns `description`, to be model.json, and `files`: bytes by name.
 */
export async function describe(model) {
  const stat = fs.statSync(model, { throwIfNoEntry: false });
  if (!stat) throw new Error(`${model}: no such file or folder; make demo makes one, or give MODEL=`);
  const folder = stat.isDirectory() ? model : path.dirname(model);
  const told = stat.isDirectory() ? ofFolder(model) : ofFile(model);
  const files = {};
  for (const { file } of told.stages) {
    const at = path.join(folder, file);
    if (!fs.existsSync(at)) throw new Error(`${at}: missing; export the model again`);
    await check(at, files[file] = fs.readFileSync(at));
  }
  const work = shares(told.stages);
  const width = told.config?.generator?.width ?? 64, floats = 4 * width;
  const planes = told.stages.flatMap(({ outputs }) => outputs.filter((name) => name !== "enhanced"));
  const description = {
    details: details(told), pixels: told.pixels, whole: told.whole,
    side: SIDES[told.architecture] ?? SIDE, stride: told.stride,
    // Of maps that are there at once: in one piece a handful (3.4 measured for the U-Net, whose maps
    // are smaller); in stages the planes before and after one.
    bytesPerPixel: told.whole ? (told.architecture === "unet" ? 3.5 : 8) * floats : planes.length ? 4 * floats : 0,
    stages: told.stages.map((stage, i) => ({ ...stage, work: work[i] })),
  };
  return { description, files };
}
