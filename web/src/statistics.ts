// Mean and variance over a whole photograph, from those of the rows of its parts.

/** (3, R, C) float32: per row and channel the number of pixels, their mean, and their squared differences from it, summed. */
export interface Rows { data: Float32Array; dims: number[] }

/** (2, C) float32, mean and biased variance; computed in float64. */
export function merged(parts: Rows[]): { data: Float32Array; dims: number[] } {
  const channels = parts[0]!.dims[2]!;
  const result = new Float32Array(2 * channels);
  const sums = (c: number, add: (count: number, mean: number, squares: number) => void) => {
    for (const { data, dims } of parts) {
      const plane = dims[1]! * channels;
      for (let i = c; i < plane; i += channels) add(data[i]!, data[plane + i]!, data[2 * plane + i]!);
    }
  };
  for (let c = 0; c < channels; c++) {
    let total = 0, weighted = 0, spread = 0;
    sums(c, (count, mean) => { total += count; weighted += count * mean; });
    const mean = weighted / total;
    sums(c, (count, rowMean, squares) => { spread += squares + count * (rowMean - mean) ** 2; });
    result[c] = mean;
    result[channels + c] = spread / total;
  }
  return { data: result, dims: [2, channels] };
}
