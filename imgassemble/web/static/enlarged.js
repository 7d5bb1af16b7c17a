// One picture in full size, in a dialog: left and right go through its frames, up and down through the pictures.
//
// Must not know: the connection, how tiles lie on the page.

import * as sentences from "./sentences.js";

export class Enlarged {
  #dialog;
  #image;
  #range;
  #words;
  #save;
  #tilesWithFrames; // returns the tiles that can be shown, in their order
  #tile = null;
  #chosen = null; // the address of the frame that the viewer has chosen; null: always the newest

  constructor(dialog, tilesWithFrames) {
    this.#dialog = dialog;
    this.#tilesWithFrames = tilesWithFrames;
    this.#image = dialog.querySelector("img");
    this.#range = dialog.querySelector("input");
    this.#words = dialog.querySelector(".words");
    this.#save = dialog.querySelector(".save");
    this.#range.addEventListener("input", () => this.#choose());
    dialog.addEventListener("keydown", (event) => this.#takeKey(event));
    dialog.addEventListener("close", () => (this.#tile = null));
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
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
    if (this.#image.getAttribute("src") !== frames[at].url) this.#image.src = frames[at].url;
    this.#image.alt = alt;
    this.#range.max = String(frames.length - 1);
    this.#range.value = String(at);
    this.#range.setAttribute("aria-label", `Pictures of ${sentences.quoted(title)}`);
    this.#range.setAttribute("aria-valuetext", sentences.frameName(item, frames[at]));
    this.#range.classList.toggle("is-idle", frames.length < 2);
    this.#dialog.dataset.kind = item.kind;
    this.#words.textContent = sentences.enlargedWords(item, frames[at], title);
    this.#save.href = frames[at].url;
    this.#save.download = sentences.fileName(item, frames[at], title);
    this.#save.setAttribute("aria-label", `Save ${alt}`);
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
