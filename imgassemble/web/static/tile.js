// One item on the page: its picture, what it is called, where it stands, and the frames that came before.
//
// Knows: the elements of a tile, which frame the viewer has chosen. Must not know: the other tiles, the connection.

import { Crossfade } from "./crossfade.js";
import * as words from "./words.js";

const template = document.getElementById("tile");

export class Tile {
  element = template.content.firstElementChild.cloneNode(true);
  #parts = Object.fromEntries(
    ["mat", "picture", "words", "name", "badge", "place", "id", "dots", "scrubber", "at", "times", "save", "notes"].map(
      (name) => [name, this.element.querySelector(`.${name}`)],
    ),
  );
  #range = this.element.querySelector("input");
  #crossfade = new Crossfade(this.#parts.picture, () => this.#tellTrouble());
  #chosen = null; // the frame that the viewer has gone back to, by its place; null follows the newest
  #item = null;
  #frames = []; // partials by index, then the final
  #title = null;

  constructor() {
    this.#range.addEventListener("input", () => this.#choose());
  }

  /** Show the facts of an item. `title`: {name, nth, of}. `isFirst`: whether it tells what its stream has to say, too. */
  update(item, stream, title, isFirst) {
    this.#item = item;
    this.#frames = item.has_final ? [...item.partials, item.final] : item.partials;
    this.#title = title;
    this.element.dataset.kind = item.kind;
    this.element.classList.toggle("has-frames", this.#frames.length > 0);
    this.#label();
    this.#shape();
    this.#scrub(false);
    this.#note(words.notes(item, stream, isFirst));
    this.#tellTrouble();
  }

  #label() {
    const { name, badge, place, id, times } = this.#parts;
    const text = words.plain(this.#title.name);
    write(name, text);
    name.title = text;
    write(place, words.placed(this.#title));
    write(badge, words.badge(this.#item));
    write(times, words.times(this.#item));
    times.title = times.textContent; // where its line is too short for it
    write(id, this.#title.of > 1 ? words.plain(this.#item.id) : "");
    id.title = id.textContent;
  }

  /** The box has the shape of the picture before there is one, so that nothing moves when it comes. */
  #shape() {
    const [width, height] = this.#frames[0]?.size ?? this.#item.size ?? [1, 1];
    this.#parts.picture.style.setProperty("--ratio", String(width / height));
  }

  // ---- the frames

  #choose() {
    const at = this.#range.valueAsNumber;
    const frame = this.#frames[at];
    this.#chosen = frame && at !== this.#newest() ? place(frame) : null;
    this.#scrub(true);
  }

  #newest() {
    const at = this.#frames.findLastIndex((frame) => frame.url === this.#item.shown);
    return at < 0 ? this.#frames.length - 1 : at;
  }

  #scrub(isByHand) {
    const frames = this.#frames;
    const newest = this.#newest();
    const chosen = frames.findIndex((frame) => place(frame) === this.#chosen);
    if (chosen < 0) this.#chosen = null;
    const at = chosen < 0 ? newest : chosen;
    this.#dot();
    this.#parts.scrubber.classList.toggle("is-idle", frames.length < 2);
    this.#range.max = String(Math.max(0, frames.length - 1));
    this.#range.value = String(at);
    this.#range.setAttribute("aria-label", `Pictures of ${words.quoted(this.#title)}`);
    if (frames[at]) this.#show(frames[at], newest - at, isByHand);
    else this.#showNone();
  }

  #show(frame, n_newer, isByHand) {
    const { at, save } = this.#parts;
    const name = words.frameName(this.#item, frame);
    this.#crossfade.show(frame.url, words.altText(this.#item, frame, this.#title), isByHand);
    write(at, `${name} · ${n_newer > 0 ? `${n_newer} newer` : words.pixels(frame)}`);
    at.title = at.textContent;
    this.#range.setAttribute("aria-valuetext", n_newer > 0 ? at.textContent : name);
    save.href = frame.url;
    save.download = words.fileName(this.#item, frame, this.#title);
    save.title = words.frameFacts(frame);
    save.setAttribute("aria-label", `Save ${words.altText(this.#item, frame, this.#title)}`);
  }

  #showNone() {
    this.#crossfade.clear();
    write(this.#parts.at, "");
    this.#parts.save.removeAttribute("href");
  }

  #dot() {
    const { dots } = this.#parts;
    const frames = this.#frames;
    while (dots.childElementCount > frames.length) dots.lastElementChild.remove();
    while (dots.childElementCount < frames.length) dots.append(document.createElement("i"));
    frames.forEach((frame, at) => {
      dots.children[at].className = words.frameName(this.#item, frame).split(" ")[0];
    });
  }

  // ---- what is said

  #note({ summary, sentences }) {
    const { notes } = this.#parts;
    notes.classList.toggle("is-idle", !sentences.length);
    write(notes.querySelector("summary"), summary);
    const list = notes.querySelector("ul");
    const isTold = list.childElementCount === sentences.length;
    if (isTold && sentences.every((sentence, at) => list.children[at].textContent === sentence)) return;
    list.replaceChildren(...sentences.map(line));
  }

  /** Words in place of a picture, where there is none. */
  #tellTrouble() {
    if (!this.#item) return;
    const { caption, shown } = this.#item;
    const isBroken = shown !== null && this.#crossfade.isBroken;
    const text = isBroken ? "This picture cannot be shown here." : shown === null ? words.plain(caption) : "";
    write(this.#parts.words.firstElementChild, text);
    this.#parts.mat.classList.toggle("has-picture", !this.#crossfade.isEmpty);
  }
}

/** Where a frame stands among those of its item; another picture for the same place has the same. */
function place(frame) {
  return frame.is_final ? "final" : `partial ${frame.index}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function line(sentence) {
  const item = document.createElement("li");
  const text = document.createElement("bdi");
  text.textContent = sentence;
  item.append(text);
  return item;
}
