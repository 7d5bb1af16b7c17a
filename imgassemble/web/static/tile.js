// One item on the page: its picture, name and state, and its earlier frames to scrub through.
//
// Must not know: the other tiles, the connection.

import { Crossfade } from "./crossfade.js";
import * as sentences from "./sentences.js";

const template = document.getElementById("tile");

export class Tile {
  element = template.content.firstElementChild.cloneNode(true);
  #parts = Object.fromEntries(
    ["mat", "picture", "caption", "name", "badge", "place", "dots", "scrubber", "at", "times", "save", "notes", "enlarge"].map(
      (name) => [name, this.element.querySelector(`.${name}`)],
    ),
  );
  #range = this.element.querySelector("input");
  #crossfade = new Crossfade(this.element.querySelector(".layers"), () => this.#showCaption());
  #chosen = null; // the place of the frame that the viewer has chosen; null: always the newest
  #item = null;
  #title = null;

  constructor() {
    this.#range.addEventListener("input", () => this.#choose());
  }

  /** Show the facts of an item. `title`: {name, nth, of}. `isFirst`: whether it also shows the notes of its stream. */
  update(item, stream, title, isFirst) {
    this.#item = item;
    this.#title = title;
    this.element.dataset.kind = item.kind;
    this.element.classList.toggle("has-frames", item.frames.length > 0);
    this.#label();
    this.#shape();
    this.#scrub(false);
    this.#showNotes(sentences.notes(item, stream, isFirst));
    this.#showCaption();
  }

  /** The item with its title, its frames, and the places of the frame that is shown and of the newest. */
  get view() {
    const at = this.#range.valueAsNumber;
    return { item: this.#item, title: this.#title, frames: this.#item.frames, at, newest: this.#newest() };
  }

  /** Show the seconds of the item. `elapsedS`: since the stream began; null if that is not known. */
  showSeconds(elapsedS) {
    const { times } = this.#parts;
    write(times, sentences.times(this.#item, elapsedS));
    times.title = times.textContent; // a tooltip, because a narrow tile cuts the line
  }

  #label() {
    const { name, badge, place } = this.#parts;
    const text = sentences.plain(this.#title.name);
    write(name, text);
    name.title = text;
    write(place, sentences.numbered(this.#title));
    write(badge, sentences.badge(this.#item));
  }

  /** Give the box the shape of the picture before it arrives, so that nothing moves then. */
  #shape() {
    const sized = this.#item.frames.find((frame) => frame.size); // an SVG may have no size
    const [width, height] = sized?.size ?? this.#item.size ?? [1, 1];
    this.#parts.picture.style.setProperty("--ratio", String(width / height));
  }

  // ---- the frames

  #choose() {
    const at = this.#range.valueAsNumber;
    const frame = this.#item.frames[at];
    this.#chosen = frame && at !== this.#newest() ? place(frame) : null;
    this.#scrub(true);
  }

  #newest() {
    return this.#item.frames.length - 1;
  }

  #scrub(isByHand) {
    const { frames } = this.#item;
    const newest = this.#newest();
    const chosen = frames.findIndex((frame) => place(frame) === this.#chosen);
    if (chosen < 0) this.#chosen = null;
    const at = chosen < 0 ? newest : chosen;
    this.#showDots();
    this.#parts.scrubber.classList.toggle("is-idle", frames.length < 2);
    this.#range.max = String(Math.max(0, frames.length - 1));
    this.#range.value = String(at);
    this.#range.setAttribute("aria-label", `Pictures of ${sentences.quoted(this.#title)}`);
    if (frames[at]) this.#show(frames[at], newest - at, isByHand);
    else this.#showNone();
  }

  #show(frame, n_newer, isByHand) {
    const { at, save, enlarge } = this.#parts;
    const name = sentences.frameName(this.#item, frame);
    this.#crossfade.show(frame.small_url, sentences.altText(this.#item, frame, this.#title), isByHand);
    write(at, [name, n_newer > 0 ? `${n_newer} newer` : sentences.pixels(frame)].filter(Boolean).join(" · "));
    at.title = at.textContent;
    this.#range.setAttribute("aria-valuetext", n_newer > 0 ? at.textContent : name);
    enlarge.setAttribute("aria-label", `Enlarge ${sentences.altText(this.#item, frame, this.#title)}`);
    save.href = frame.url;
    save.download = sentences.fileName(this.#item, frame, this.#title);
    save.title = sentences.frameFacts(frame);
    save.setAttribute("aria-label", `Save ${sentences.altText(this.#item, frame, this.#title)}`);
  }

  #showNone() {
    this.#crossfade.clear();
    write(this.#parts.at, "");
    this.#parts.save.removeAttribute("href");
  }

  #showDots() {
    const { dots } = this.#parts;
    const { frames } = this.#item;
    while (dots.childElementCount > frames.length) dots.lastElementChild.remove();
    while (dots.childElementCount < frames.length) dots.append(document.createElement("i"));
    frames.forEach((frame, at) => {
      dots.children[at].className = sentences.frameName(this.#item, frame).split(" ")[0];
    });
  }

  // ---- notes and caption

  #showNotes({ summary, lines }) {
    const { notes } = this.#parts;
    notes.classList.toggle("is-idle", !lines.length);
    write(notes.querySelector("summary"), summary);
    const list = notes.querySelector("ul");
    const isEqual = list.childElementCount === lines.length;
    if (isEqual && lines.every((line, at) => list.children[at].textContent === line)) return;
    list.replaceChildren(...lines.map(listItem));
  }

  /** Show the caption in place of the picture while there is none, and on a picture that is no result. */
  #showCaption() {
    if (!this.#item) return;
    const { frames, kind } = this.#item;
    const isBroken = frames.length > 0 && this.#crossfade.isBroken;
    const hasCaption = !frames.length || kind === "draft" || kind === "failed";
    const text = isBroken ? "This browser cannot show this picture." : hasCaption ? sentences.caption(this.#item) : "";
    write(this.#parts.caption.firstElementChild, text);
    this.#parts.mat.classList.toggle("has-picture", !this.#crossfade.isEmpty);
  }
}

/** The place of a frame among those of its item. A frame that replaces another has the same place. */
function place(frame) {
  return frame.is_final ? "final" : `partial ${frame.index}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function listItem(line) {
  const item = document.createElement("li");
  const text = document.createElement("bdi");
  text.textContent = line;
  item.append(text);
  return item;
}
