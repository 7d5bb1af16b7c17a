// All tiles: the newest stream first, its items in their order.
//
// Must not know: the contents of a tile, the connection.

import { Enlarged } from "./enlarged.js";
import { Tile } from "./tile.js";
import * as sentences from "./sentences.js";

const NO_ITEM = Symbol("no item yet"); // in place of the number of an item
const STREAM_END = Symbol("the failure of the stream");
const TICK_MS = 1_000;

export class Tiles {
  #list;
  #enlarged;
  #onChange;
  #streams = new Map(); // name -> {facts, frames: Map of number -> facts, items: Map of number -> facts, tiles}
  #shown = []; // {tile, facts, stream, title, isFirst} in the order of the page
  #isDue = false;
  #kinds = new Map(); // tile -> kind of its item, so that an end is announced once
  #clockZeroMs = 0; // the time of this page at which the clock of the server was zero
  #isQuiet = false; // whether the next changes are not announced, because they are not new

  /** `onChange({n_items, n_unfinished, announcements})` is called after each change. Screen readers read these. */
  constructor(list, dialog, onChange) {
    this.#list = list;
    this.#enlarged = new Enlarged(dialog, () => this.#withFrames());
    list.addEventListener("click", ({ target }) => this.#enlarge(target));
    this.#onChange = onChange;
    setInterval(() => this.#showSeconds(), TICK_MS);
  }

  /** `nowS`: the present seconds by the clock of the server. */
  setClock(nowS) {
    this.#clockZeroMs = performance.now() - 1_000 * nowS;
  }

  /** Take the changes of a batch, or with `isNew` everything that is shown: removed names, then streams, frames and items. */
  take({ isNew, gone, streams, frames, items }) {
    const before = this.#streams;
    if (isNew) this.#streams = new Map();
    this.#isQuiet ||= isNew;
    for (const { stream } of gone) this.#streams.delete(stream);
    for (const facts of streams) this.#takeStream(facts, before.get(facts.stream));
    for (const facts of frames) this.#streams.get(facts.stream)?.frames.set(facts.number, facts);
    for (const facts of items) takeItem(this.#streams.get(facts.stream), facts);
    this.refresh();
  }

  /** A stream that is known keeps its tiles; a new stream of the same name does not. */
  #takeStream(facts, before) {
    const isSame = before?.facts.number === facts.number;
    const known = isSame && this.#streams.get(facts.stream); // not if everything is sent again
    this.#streams.set(facts.stream, {
      facts,
      frames: known ? known.frames : new Map(),
      items: known ? known.items : new Map(),
      tiles: isSame ? before.tiles : new Map(),
    });
  }

  /** Show the present facts, once before the next repaint. */
  refresh() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#render();
    });
  }

  #render() {
    const shown = [...this.#streams.values()].sort((a, b) => b.facts.number - a.facts.number).flatMap(tilesOf);
    this.#shown = shown;
    for (const { tile, facts, stream, title, isFirst } of shown) tile.update(facts, stream, title, isFirst);
    this.#showSeconds();
    this.#place(shown.map(({ tile }) => tile.element));
    this.#enlarged.refresh();
    this.#onChange({
      n_items: shown.length,
      n_unfinished: shown.filter(({ facts }) => !facts.has_ended).length,
      announcements: this.#announcements(shown),
    });
  }

  #withFrames() {
    return this.#shown.map(({ tile }) => tile).filter((tile) => tile.view.frames.length);
  }

  #enlarge(target) {
    const tile = target.closest(".enlarge") && this.#withFrames().find(({ element }) => element.contains(target));
    if (tile) this.#enlarged.open(tile);
  }

  /** Show on each tile the seconds since its stream began, if they are known. */
  #showSeconds() {
    const nowS = (performance.now() - this.#clockZeroMs) / 1_000;
    for (const { tile, stream } of this.#shown) {
      tile.showSeconds(stream.began_s === null ? null : Math.max(0, nowS - stream.began_s));
    }
  }

  /** Move only the tiles whose place has changed: the others keep their focus and their fade. */
  #place(elements) {
    const stay = new Set(elements);
    for (const element of [...this.#list.children]) if (!stay.has(element)) element.remove();
    elements.forEach((element, at) => {
      if (this.#list.children[at] !== element) this.#list.insertBefore(element, this.#list.children[at] ?? null);
    });
  }

  #announcements(shown) {
    const before = this.#kinds;
    this.#kinds = new Map(shown.map(({ tile, facts }) => [tile, facts.kind]));
    const isQuiet = this.#isQuiet;
    this.#isQuiet = false;
    if (isQuiet) return [];
    const changed = shown.filter(({ tile, facts }) => before.get(tile) !== facts.kind);
    return changed.map(({ facts, title }) => sentences.announcement(facts, title)).filter(Boolean);
  }
}

/** Keep an item with its frames, and forget its earlier frames that it no longer has. */
function takeItem(stream, facts) {
  if (!stream) return;
  for (const frame of stream.items.get(facts.number)?.frames ?? []) {
    if (!facts.frames.includes(frame.number)) stream.frames.delete(frame.number);
  }
  const frames = facts.frames.map((number) => stream.frames.get(number)).filter(Boolean);
  stream.items.set(facts.number, { ...facts, frames });
}

/** The items of a stream with their tiles. A stream without items has a tile, too, and so has its failure. */
function tilesOf(stream) {
  const items = [...stream.items.values()].sort((a, b) => a.number - b.number);
  const { title: name } = stream.facts;
  const shown = items.map((facts, at) => ({
    tile: tileOf(stream, facts.number),
    facts: stream.facts.is_orphaned && !facts.has_ended ? sentences.orphanOf(facts, stream.facts) : facts,
    stream: stream.facts,
    title: { name, nth: at + 1, of: items.length },
    isFirst: at === 0,
  }));
  if (items.length && (stream.facts.kind === "waiting" || shown.some(({ facts }) => facts.is_orphaned))) return shown;
  const tile = tileOf(stream, items.length ? STREAM_END : NO_ITEM);
  const facts = sentences.itemOf(stream.facts);
  return [...shown, { tile, facts, stream: stream.facts, title: { name, nth: 1, of: 1 }, isFirst: !items.length }];
}

/** The tile of an item. The first item takes over the tile of the stream without items. */
function tileOf({ tiles }, key) {
  if (!tiles.has(key)) {
    tiles.set(key, (key !== STREAM_END && tiles.get(NO_ITEM)) || new Tile());
    if (key !== NO_ITEM) tiles.delete(NO_ITEM);
  }
  return tiles.get(key);
}
