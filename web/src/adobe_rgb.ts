// Adobe RGB (1998) to sRGB. Both have the white D65, and the same red and blue.

const GAMMA = 563 / 256;
// From linear Adobe RGB to linear sRGB, by rows: both matrices to XYZ follow from the primaries.
const MATRIX = [
  [1.398355744, -0.398355744, 0],
  [0, 1, 0],
  [0, -0.042928989, 1.042928989],
];
const STEPS = 65535; // of the table that encodes; its index is the root of light, for the dark's sake

const encoded = (light: number) => (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055);

/** Converts (pixels, 3) values in place; colours outside sRGB are clipped. */
export function fromAdobeRgb(rgb: Uint8Array): void {
  const light = Float32Array.from({ length: 256 }, (_, level) => (level / 255) ** GAMMA);
  const encode = Uint8Array.from({ length: STEPS + 1 }, (_, root) => Math.round(255 * encoded((root / STEPS) ** 2)));
  for (let i = 0; i < rgb.length; i += 3) {
    const r = light[rgb[i]!]!, g = light[rgb[i + 1]!]!, b = light[rgb[i + 2]!]!;
    for (let c = 0; c < 3; c++) {
      const row = MATRIX[c]!, sum = row[0]! * r + row[1]! * g + row[2]! * b;
      rgb[i + c] = encode[Math.round(STEPS * Math.sqrt(Math.min(Math.max(sum, 0), 1)))]!;
    }
  }
}
