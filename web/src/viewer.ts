// Shows a photograph before and after, with a border to drag between them, zoom and panning by
// mouse, touch and keyboard. Both pictures fill the same box; the border stays where it is on the
// screen while they move beneath it.

const MOST = 8; // screen pixels to one of the picture
const STEP = 1.5; // of a zoom button

const clamp = (value: number, low: number, high: number) => Math.min(Math.max(value, low), high);
const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

export class Viewer {
  private readonly box = byId("viewer");
  private readonly stage = byId("stage");
  private readonly before = byId<HTMLImageElement>("before");
  private readonly after = byId<HTMLImageElement>("after");
  private readonly range = byId<HTMLInputElement>("split");
  private width = 1; // of the picture, in its own pixels
  private height = 1;
  private scale = 1; // CSS pixels to one of the picture
  private x = 0; // of the picture's corner on the stage
  private y = 0;
  private fitting = true;
  private readonly pointers = new Map<number, PointerEvent>();
  private moving: "picture" | "border" = "picture";

  constructor() {
    new ResizeObserver(() => this.fitting ? this.fit() : this.place()).observe(this.stage);
    this.range.oninput = () => this.place();
    byId("zoom-in").onclick = () => this.zoom(STEP);
    byId("zoom-out").onclick = () => this.zoom(1 / STEP);
    byId("zoom-fit").onclick = () => this.fit();
    byId("zoom-full").onclick = () => this.zoom(1 / devicePixelRatio / this.scale);
    this.stage.onkeydown = (event) => this.onKey(event);
    this.stage.onwheel = (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-clamp(event.deltaY, -100, 100) / 250), event.clientX, event.clientY);
    };
    this.stage.ondblclick = (event) => {
      if (this.fitting) this.zoom(1 / devicePixelRatio / this.scale, event.clientX, event.clientY);
      else this.fit();
    };
    this.stage.onpointerdown = (event) => this.onDown(event);
    this.stage.onpointermove = (event) => this.onMove(event);
    this.stage.onpointerup = this.stage.onpointercancel = (event) => {
      this.pointers.delete(event.pointerId);
      this.stage.classList.toggle("dragging", this.pointers.size > 0);
    };
  }

  /**
   * Shows a photograph; null shows nothing.
   *
   * @param after null: not enhanced yet, and there is nothing to compare.
   */
  async show(name: string, before: string | null, after: string | null): Promise<void> {
    const other = this.after.dataset.original !== (before ?? "");
    this.after.dataset.original = before ?? "";
    this.after.alt = before ? (after ? `${name}, enhanced` : name) : "";
    this.before.alt = after ? `${name}, as it was` : "";
    await Promise.all([load(this.after, after ?? before), load(this.before, after ? before : null)]);
    if (this.after.dataset.original !== (before ?? "")) return; // another one was chosen meanwhile
    this.box.classList.toggle("compared", after !== null);
    this.width = this.after.naturalWidth || 1;
    this.height = this.after.naturalHeight || 1;
    for (const image of [this.before, this.after]) {
      image.style.width = `${this.width}px`;
      image.style.height = `${this.height}px`;
    }
    if (other || this.fitting) this.fit();
    else this.place();
  }

  private get fitScale(): number {
    return Math.min(this.stage.clientWidth / this.width, this.stage.clientHeight / this.height, 2);
  }

  private fit(): void {
    this.fitting = true;
    this.scale = this.fitScale;
    this.place();
  }

  /** Zooms around a point of the window, or around the middle. */
  private zoom(factor: number, clientX?: number, clientY?: number): void {
    const area = this.stage.getBoundingClientRect();
    const x = clientX === undefined ? area.width / 2 : clientX - area.left;
    const y = clientY === undefined ? area.height / 2 : clientY - area.top;
    const least = Math.min(this.fitScale, 1 / devicePixelRatio);
    const scale = clamp(this.scale * factor, least, Math.max(MOST / devicePixelRatio, this.fitScale));
    this.fitting = false;
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.place();
  }

  private place(): void {
    const { clientWidth, clientHeight } = this.stage;
    const within = (at: number, size: number, room: number) =>
      size <= room ? (room - size) / 2 : clamp(at, room - size, 0);
    this.x = within(this.x, this.width * this.scale, clientWidth);
    this.y = within(this.y, this.height * this.scale, clientHeight);
    const onScreen = this.scale * devicePixelRatio;
    for (const image of [this.before, this.after]) {
      image.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
      image.classList.toggle("pixels", onScreen >= 3);
    }
    const [left, right] = this.visible();
    const percent = Number(this.range.value);
    this.stage.style.setProperty("--split", `${left + ((right - left) * percent) / 100}px`);
    this.stage.style.setProperty("--top", `${Math.max(this.y, 0)}px`);
    this.stage.style.setProperty("--bottom", `${Math.max(clientHeight - this.y - this.height * this.scale, 0)}px`);
    byId("before-label").style.left = `${Math.max(left, 0) + 12}px`;
    byId("after-label").style.right = `${clientWidth - right + 12}px`;
    for (const label of ["before-label", "after-label"]) byId(label).style.top = `${Math.max(this.y, 0) + 12}px`;
    this.range.ariaValueText = `${percent} percent before, ${100 - percent} percent after`;
    const full = byId("zoom-full");
    byId("zoom-fit").ariaPressed = String(this.fitting);
    full.ariaPressed = String(Math.abs(onScreen - 1) < 0.005);
    this.stage.dataset.zoom = String(Math.round(100 * onScreen));
  }

  /** Left and right end of what is seen of the picture, on the stage. */
  private visible(): [number, number] {
    return [Math.max(this.x, 0), Math.min(this.x + this.width * this.scale, this.stage.clientWidth)];
  }

  private split(clientX: number): void {
    const [left, right] = this.visible();
    const x = clientX - this.stage.getBoundingClientRect().left;
    this.range.value = String(Math.round((100 * (x - left)) / (right - left)));
    this.place();
  }

  private onDown(event: PointerEvent): void {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    const onBorder = (event.target as Element).closest("#divider") !== null;
    // A picture that is seen whole need not be moved: dragging anywhere moves the border.
    const compared = this.box.classList.contains("compared");
    this.moving = compared && (onBorder || (this.fitting && this.pointers.size === 1)) ? "border" : "picture";
    if (this.moving === "border" && event.pointerType === "mouse" && !onBorder) this.split(event.clientX);
    this.stage.classList.toggle("dragging", this.moving === "picture");
  }

  private onMove(event: PointerEvent): void {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const others = [...this.pointers.values()].filter((other) => other.pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    const [other] = others;
    if (other) { // two fingers: around the middle between them
      const apart = (one: PointerEvent) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.x += (event.clientX - last.clientX) / 2;
      this.y += (event.clientY - last.clientY) / 2;
      this.zoom(apart(event) / apart(last), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else if (this.moving === "border") {
      this.split(event.clientX);
    } else {
      this.x += event.clientX - last.clientX;
      this.y += event.clientY - last.clientY;
      this.place();
    }
  }

  private onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 80;
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step],
    };
    const move = event.target === this.range ? undefined : moves[event.key]; // its arrows move the border
    if (move) {
      this.x += move[0];
      this.y += move[1];
      this.place();
    } else if (event.key === "+" || event.key === "=") this.zoom(STEP);
    else if (event.key === "-") this.zoom(1 / STEP);
    else if (event.key === "0") this.fit();
    else if (event.key === "1") this.zoom(1 / devicePixelRatio / this.scale);
    else return;
    event.preventDefault();
  }
}

/** Shows a picture once it is decoded, so that nothing flickers. */
async function load(image: HTMLImageElement, url: string | null): Promise<void> {
  if (!url) {
    image.removeAttribute("src");
    return;
  }
  if (image.src === url) return;
  const ahead = new Image();
  ahead.src = url;
  await ahead.decode().catch(() => {});
  image.src = url;
  await image.decode().catch(() => {});
}
