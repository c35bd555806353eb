// How a photograph is cut up: cells that cover it once, each computed with a margin around it.

/** Rows [top, bottom) and columns [left, right) of the photograph. */
export interface Cell { top: number; bottom: number; left: number; right: number }

/** Ends of equal parts of an axis, at most `side` long, beginning at multiples of `stride`. */
function ends(length: number, side: number, stride: number): number[] {
  const count = Math.ceil(length / side);
  const part = Math.ceil(length / count / stride) * stride;
  const found: number[] = [];
  for (let end = part; end < length + part; end += part) found.push(Math.min(end, length));
  return found;
}

/** Cells of at most so many rows and columns, row by row. */
export function* cells(height: number, width: number, side: [number, number], stride: number): Generator<Cell> {
  let top = 0;
  for (const bottom of ends(height, side[0], stride)) {
    let left = 0;
    for (const right of ends(width, side[1], stride)) {
      yield { top, bottom, left, right };
      left = right;
    }
    top = bottom;
  }
}

/** The window of a cell, cut at the photograph's borders, and top, bottom, left, right of the cell in it. */
export function windowOf(cell: Cell, height: number, width: number, margin: number): {
  window: Cell; region: [number, number, number, number];
} {
  const window = {
    top: Math.max(0, cell.top - margin), bottom: Math.min(height, cell.bottom + margin),
    left: Math.max(0, cell.left - margin), right: Math.min(width, cell.right + margin),
  };
  return {
    window,
    region: [cell.top - window.top, cell.bottom - window.top, cell.left - window.left, cell.right - window.left],
  };
}
