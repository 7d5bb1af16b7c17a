// One picture in full size, in a dialog: left and right go through its frames, up and down through the pictures.
//
// A second slider compares an earlier frame with the newest: it moves the line between the two.
// Must not know: the connection, how tiles lie on the page.

import * as sentences from "./sentences.js";

export class Enlarged {
  #dialog;
  #pair;
  #earlier; // the two images
  #newest;
  #range;
  #compare;
  #words;
  #save;
  #tilesWithFrames; // returns the tiles that can be shown, in their order
  #tile = null;
  #chosen = null; // the address of the frame that the viewer has chosen; null: always the newest

  constructor(dialog, tilesWithFrames) {
    this.#dialog = dialog;
    this.#tilesWithFrames = tilesWithFrames;
    this.#pair = dialog.querySelector(".pair");
    this.#newest = dialog.querySelector(".newest");
    this.#earlier = dialog.querySelector(".chosen");
    this.#range = dialog.querySelector(".frames");
    this.#compare = dialog.querySelector(".compare");
    this.#words = dialog.querySelector(".words");
    this.#save = dialog.querySelector(".save");
    this.#range.addEventListener("input", () => this.#choose());
    this.#wipe.addEventListener("input", () => this.#drawLine());
    dialog.addEventListener("keydown", (event) => this.#takeKey(event));
    dialog.addEventListener("close", () => (this.#tile = null));
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
  }

  get #wipe() {
    return this.#compare.querySelector("input");
  }

  /** Show the frame of a tile that the tile shows. */
  open(tile) {
    this.#show(tile);
    this.#dialog.showModal();
    this.#range.focus();
  }

  /** Show the present facts of the tile; close if it has no picture any more. */
  refresh() {
    if (this.#tile === null) return;
    if (this.#tile.element.isConnected && this.#tile.view.frames.length) this.#draw();
    else this.#dialog.close();
  }

  #show(tile) {
    const { frames, at, newest } = tile.view;
    this.#tile = tile;
    this.#chosen = at === newest ? null : frames[at].url;
    this.#wipe.value = "100";
    this.#draw();
  }

  #choose() {
    const { frames, newest } = this.#tile.view;
    const at = this.#range.valueAsNumber;
    this.#chosen = at === newest ? null : frames[at].url;
    this.#draw();
  }

  #draw() {
    const { frames, newest, item, title } = this.#tile.view;
    const chosen = frames.findIndex((frame) => frame.url === this.#chosen);
    const at = chosen < 0 ? newest : chosen;
    const alt = sentences.altText(item, frames[at], title);
    this.#shape(frames.findLast((frame) => frame.size)?.size ?? [1, 1]); // an SVG may have no size
    show(this.#newest, at === newest ? null : frames[newest], "");
    show(this.#earlier, frames[at], alt);
    this.#range.max = String(frames.length - 1);
    this.#range.value = String(at);
    this.#range.setAttribute("aria-label", `Pictures of ${sentences.quoted(title)}`);
    this.#range.setAttribute("aria-valuetext", sentences.frameName(item, frames[at]));
    this.#range.classList.toggle("is-idle", frames.length < 2);
    const [name, other] = [frames[at], frames[newest]].map((frame) => sentences.frameName(item, frame));
    this.#compare.classList.toggle("is-idle", at === newest);
    this.#compare.querySelector("span").textContent = `Compare with ${other}`;
    this.#wipe.setAttribute("aria-label", `Compare ${name} with ${other}`);
    this.#drawLine();
    this.#dialog.dataset.kind = item.kind;
    this.#words.textContent = sentences.enlargedWords(item, frames[at], title);
    this.#save.href = frames[at].url;
    this.#save.download = sentences.fileName(item, frames[at], title);
    this.#save.setAttribute("aria-label", `Save ${alt}`);
  }

  /** Give the pair the shape of the newest frame, at most as large as its pixels. */
  #shape([width, height]) {
    this.#pair.style.setProperty("--ratio", String(width / height));
    this.#pair.style.setProperty("--width", String(width));
  }

  /** Draw the line between the two frames; on its left is the earlier one. */
  #drawLine() {
    const isWiped = this.#newest.hasAttribute("src");
    const percent = isWiped ? this.#wipe.valueAsNumber : 100;
    this.#pair.style.setProperty("--wipe", `${percent}%`);
    this.#pair.classList.toggle("is-wiped", isWiped && percent < 100);
    this.#wipe.setAttribute("aria-valuetext", `${percent} percent earlier`);
  }

  #takeKey(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return; // the slider takes the other arrows
    event.preventDefault();
    const tiles = this.#tilesWithFrames();
    const next = tiles[tiles.indexOf(this.#tile) + step];
    if (next) this.#show(next);
  }
}

function show(image, frame, alt) {
  image.alt = alt;
  if (frame === null) image.removeAttribute("src");
  else if (image.getAttribute("src") !== frame.url) image.src = frame.url;
}
