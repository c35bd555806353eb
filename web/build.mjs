// Builds the page: `node build.mjs --model=FILE_OR_FOLDER --output=FOLDER` (see `make web`).
//
// The model is what `python -m dped_jax.export --format=onnx` writes: a file, or the folder of
// --stages. It is checked by loading it; a bad one ends in one line, and nothing is written.

import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { parseArgs } from "node:util";

import * as esbuild from "esbuild";
import { describe } from "./describe.mjs";

const here = import.meta.dirname;
const RUNTIMES = {
  wasm: ["ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"],
  webgpu: ["ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"],
};

function listed(folder) {
  return fs.readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)))
    .sort();
}

async function build(model, output) {
  const { description, files } = await describe(model);
  const folder = `${output}.new`;
  fs.rmSync(folder, { recursive: true, force: true });
  fs.cpSync(path.join(here, "static"), folder, { recursive: true });
  fs.mkdirSync(path.join(folder, "model"));
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(folder, "model", name), bytes);
  fs.writeFileSync(path.join(folder, "model.json"), JSON.stringify(description));
  fs.mkdirSync(path.join(folder, "ort"));
  const source = path.join(here, "node_modules", "onnxruntime-web", "dist");
  for (const name of Object.values(RUNTIMES).flat()) fs.copyFileSync(path.join(source, name), path.join(folder, "ort", name));
  const options = {
    bundle: true, format: "esm", target: "es2022", minify: true, outdir: folder, logLevel: "error",
  };
  await esbuild.build({ ...options, entryPoints: ["main", "worker"].map((name) => path.join(here, "src", `${name}.ts`)) });

  const names = listed(folder);
  const digest = createHash("sha256");
  for (const name of names) digest.update(name).update(fs.readFileSync(path.join(folder, name)));
  await esbuild.build({
    ...options, format: "iife", entryPoints: [path.join(here, "src", "service_worker.ts")],
    define: {
      VERSION: JSON.stringify(digest.digest("hex").slice(0, 16)),
      FILES: JSON.stringify(names.filter((name) => !name.startsWith("ort/")).map((name) => (name === "index.html" ? "./" : name))),
      RUNTIMES: JSON.stringify(names.filter((name) => name.startsWith("ort/"))),
    },
  });
  fs.rmSync(output, { recursive: true, force: true });
  fs.renameSync(folder, output);
}

try {
  const { values } = parseArgs({ options: { model: { type: "string" }, output: { type: "string" } } });
  if (!values.model || !values.output) throw new Error("--model and --output are needed");
  await build(values.model, path.resolve(values.output));
} catch (error) {
  console.error(`error: ${error.message}`);
  process.exitCode = 1;
}
