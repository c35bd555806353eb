"use strict";
// One pair at a time. The server says where the participant is; an answer is shown as given only
// once the server has it. At most one request is under way, so a double click counts once.

const $ = (id) => document.getElementById(id);
const sides = ["left", "right"];
const loaded = new Map(); // pictures by id, the current ones and those loaded ahead
let state; // as the server sent it last
let busy = true; // while an answer is saved or pictures are loaded
let shownAt; // when both pictures were there

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function post(path, body) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      const response = await fetch(path, {
        method: body ? "POST" : "GET",
        headers: body ? { "Content-Type": "application/json" } : {},
        body: body && JSON.stringify(body),
      });
      if (response.status < 500) {
        $("trouble").textContent = "";
        return response;
      }
    } catch { /* no connection: the same as a server that does not answer */ }
    $("trouble").textContent = "The server cannot be reached. Trying again; nothing is lost.";
    await pause(wait);
  }
}

// Sends an answer. Posts carry the position, so one that arrives twice counts once, and one from a
// tab left behind is refused; then the page goes to where the participant really is.
async function change(path, body) {
  let response = await post(path, body);
  if (response.status === 409) {
    response = await post("/api/state");
    $("trouble").textContent = "This page was out of step; it now shows the question you are at.";
  }
  if (!response.ok) {
    $("trouble").textContent = "This browser is not known here any more. Open your link again.";
    return;
  }
  await proceed(response);
}

async function proceed(response) {
  state = await response.json();
  if (state.joined) await show();
  else intro();
}

function picture(id) {
  if (!loaded.has(id)) {
    const image = new Image(); // its button says what it is
    image.alt = "";
    image.src = `/api/pictures/${id}`;
    loaded.set(id, image);
  }
  return loaded.get(id);
}

function only(section, focus) {
  for (const name of ["intro", "questions", "end"]) $(name).hidden = name !== section;
  if (focus) $(focus).focus();
}

function place(side) {
  const stacked = $("left").offsetTop !== $("right").offsetTop;
  return stacked ? { left: "upper", right: "lower" }[side] : side;
}

async function show() {
  busy = true;
  const { position, total, questions } = state;
  const first = $("questions").hidden;
  if (position === total) {
    only("end", "thanks");
    $("status").textContent = "All questions are answered.";
    return (busy = false);
  }
  $("progress").max = total;
  $("progress").value = position;
  $("count").textContent = `${position + 1} of ${total}`;
  $("undo").setAttribute("aria-disabled", position === 0);
  $("pair").classList.add("waiting"); // neither picture is seen before the other
  zoom(false);
  only("questions", first && "question");
  const current = questions[0].map(picture);
  try {
    await Promise.all(current.map((image) => image.decode()));
  } catch { // the connection broke, or this browser has become another participant meanwhile
    questions.flat().forEach((id) => loaded.delete(id));
    $("trouble").textContent = "The pictures cannot be loaded. Trying again.";
    await pause(1000);
    return proceed(await post("/api/state"));
  }
  $("pair").classList.toggle("upright", current[0].naturalWidth < current[0].naturalHeight);
  sides.forEach((side, i) => {
    $(side).replaceChildren(current[i]);
    $(side).setAttribute("aria-label", `Choose the ${place(side)} picture`);
  });
  const wanted = new Set(questions.flat());
  for (const id of loaded.keys()) if (!wanted.has(id)) loaded.delete(id);
  questions.flat().forEach(picture);
  $("pair").classList.remove("waiting");
  $("status").textContent = `Question ${position + 1} of ${total}`;
  shownAt = performance.now();
  busy = false;
}

async function choose(i) {
  if (busy || $("questions").hidden) return;
  busy = true;
  const milliseconds = Math.min(Math.round(performance.now() - shownAt), 86400000);
  const { position, questions } = state;
  await change("/api/vote", { position, picture: questions[0][i], milliseconds });
}

async function undo() {
  if (busy || !state.position || !$("intro").hidden) return;
  busy = true;
  await change("/api/undo", { position: state.position - 1 });
}

// Zoom: one picture's pixel on one of the screen, or twice the size where that is more.
function zoom(on) {
  const image = $("left").firstElementChild;
  const fit = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  const scale = Math.max(2, 1 / (fit * devicePixelRatio) || 2);
  $("pair").style.setProperty("--zoom", on ? scale : 1);
  $("pair").classList.toggle("zoomed", on);
  $("zoom").setAttribute("aria-pressed", on);
  if (!on) look(50, 50);
}

let at = [50, 50]; // the point of both pictures that zooming keeps in place, in per cent
function look(x, y) {
  at = [x, y].map((value) => Math.min(100, Math.max(0, value)));
  $("pair").style.setProperty("--x", `${at[0]}%`);
  $("pair").style.setProperty("--y", `${at[1]}%`);
}

const zoomed = () => $("pair").classList.contains("zoomed");
let pressed; // where a pointer went down: moving it is looking around, not choosing
let dragged = false;

for (const [i, side] of sides.entries()) {
  const button = $(side);
  button.addEventListener("click", () => dragged || choose(i));
  button.addEventListener("dragstart", (event) => event.preventDefault());
  button.addEventListener("pointerdown", (event) => {
    pressed = event;
    dragged = false;
  });
  button.addEventListener("pointermove", (event) => {
    if (!zoomed()) return;
    const box = button.getBoundingClientRect();
    look((100 * (event.clientX - box.x)) / box.width, (100 * (event.clientY - box.y)) / box.height);
    if (event.buttons && Math.hypot(event.x - pressed.x, event.y - pressed.y) > 10) dragged = true;
  });
}

const keys = {
  ArrowLeft: () => choose(0),
  ArrowUp: () => choose(0),
  ArrowRight: () => choose(1),
  ArrowDown: () => choose(1),
  Backspace: undo,
  u: undo,
  z: () => zoom(!zoomed()),
};
const steps = { ArrowLeft: [-10, 0], ArrowRight: [10, 0], ArrowUp: [0, -10], ArrowDown: [0, 10] };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || $("questions").hidden && $("end").hidden) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.shiftKey && steps[key]) {
    look(at[0] + steps[key][0], at[1] + steps[key][1]);
  } else if (keys[key]) {
    dragged = false;
    if (!event.repeat) keys[key]();
  } else return;
  event.preventDefault();
});

$("undo").addEventListener("click", undo);
$("undo-last").addEventListener("click", undo);
$("zoom").addEventListener("click", () => zoom(!zoomed()));
$("start").addEventListener("click", async () => {
  if (state.joined) return show();
  if ($("start").hidden) return;
  $("start").hidden = true; // a second click would take a second place
  const response = await post("/api/join", {});
  if (response.ok) return proceed(response);
  state.open = false;
  intro();
});

function intro() {
  document.title = $("title").textContent = state.title;
  $("instructions").textContent = state.instructions;
  $("start").hidden = !state.joined && !state.open;
  if (state.position) $("start").textContent = `Go on with question ${state.position + 1}`;
  if (!state.joined && !state.open) {
    $("trouble").textContent = "Nobody can join here without an invitation, or all places are taken.";
  }
  only("intro", "title");
}

(async () => {
  state = await (await post("/api/state")).json();
  intro();
  if (state.joined && state.position === state.total) show();
})();
