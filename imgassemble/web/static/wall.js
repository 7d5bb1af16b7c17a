// All tiles, in the order of the streams and of their items.
//
// Knows: which streams and items there are, which tile is whose. Must not know: what is on a tile, the connection.

import { Tile } from "./tile.js";
import * as words from "./words.js";

const NONE = Symbol("no item yet"); // in place of an id, which may be any text

export class Wall {
  #list;
  #onChange;
  #streams = new Map(); // name -> {facts, items: Map of id -> facts, tiles: Map of id -> Tile}
  #isDue = false;
  #kinds = new Map(); // of the tiles that are shown, so that an end is announced once
  #isQuiet = false; // nothing is announced of what was there already

  /** `onChange({n_items, n_under_way, news})`: after each change; `news` is what is to be said aloud. */
  constructor(list, onChange) {
    this.#list = list;
    this.#onChange = onChange;
  }

  /** What has changed, or with `isNew` all that is shown: names that are gone, then streams, then items. */
  take({ isNew, gone, streams, items }) {
    const before = this.#streams;
    if (isNew) this.#streams = new Map();
    this.#isQuiet ||= isNew;
    for (const { stream } of gone) this.#streams.delete(stream);
    for (const facts of streams) this.#takeStream(facts, before.get(facts.stream));
    for (const facts of items) this.#streams.get(facts.stream)?.items.set(facts.id, facts);
    this.refresh();
  }

  /** A stream that was told before keeps its tiles; another one of the same name does not. */
  #takeStream(facts, before) {
    const isSame = before?.facts.number === facts.number;
    const items = this.#streams.get(facts.stream)?.items;
    this.#streams.set(facts.stream, {
      facts,
      items: isSame && items ? items : new Map(),
      tiles: isSame ? before.tiles : new Map(),
    });
  }

  /** Put on the page what is so by now, once before the next picture of the screen. */
  refresh() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#render();
    });
  }

  #render() {
    const shown = [...this.#streams.values()].sort((a, b) => a.facts.number - b.facts.number).flatMap(tilesOf);
    for (const { tile, facts, stream, title, isFirst } of shown) tile.update(facts, stream, title, isFirst);
    this.#place(shown.map(({ tile }) => tile.element));
    this.#onChange({
      n_items: shown.length,
      n_under_way: shown.filter(({ facts }) => !facts.has_ended).length,
      news: this.#news(shown),
    });
  }

  /** Only what stands elsewhere is moved: a tile that stays keeps its focus and its fade. */
  #place(elements) {
    const stay = new Set(elements);
    for (const element of [...this.#list.children]) if (!stay.has(element)) element.remove();
    elements.forEach((element, at) => {
      if (this.#list.children[at] !== element) this.#list.insertBefore(element, this.#list.children[at] ?? null);
    });
  }

  #news(shown) {
    const before = this.#kinds;
    this.#kinds = new Map(shown.map(({ tile, facts }) => [tile, facts.kind]));
    const isQuiet = this.#isQuiet;
    this.#isQuiet = false;
    if (isQuiet) return [];
    const changed = shown.filter(({ tile, facts }) => before.get(tile) !== facts.kind);
    return changed.map(({ facts, title }) => words.announcement(facts, title)).filter(Boolean);
  }
}

/** The items of a stream with their tiles; a stream without any has a tile all the same. */
function tilesOf(stream) {
  const items = [...stream.items.values()].sort((a, b) => a.number - b.number);
  if (!items.length) items.push(words.itemOf(stream.facts));
  return items.map((facts, at) => ({
    tile: tileOf(stream, stream.items.size ? facts.id : NONE),
    facts,
    stream: stream.facts,
    title: { name: stream.facts.name, nth: at + 1, of: items.length },
    isFirst: at === 0,
  }));
}

/** The tile of an item: the first takes the one that has waited for it. */
function tileOf({ tiles }, id) {
  if (!tiles.has(id)) {
    tiles.set(id, tiles.get(NONE) ?? new Tile());
    if (id !== NONE) tiles.delete(NONE);
  }
  return tiles.get(id);
}
