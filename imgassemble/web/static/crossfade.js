// A box in which one picture gives way to the next, without a flicker and never backwards.
//
// Knows: loading, decoding, fading. Must not know: what is in the pictures, who asks for them.
// A picture is put on the page when it is decoded. One whose load ends after that of a later wish is never shown. At most
// two are under way: the oldest, so that something comes on a slow line, and the latest.

const FADE_MS = 450;
const QUICK_FADE_MS = 120;
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

export class Crossfade {
  #box;
  #onChange;
  #wishes = 0; // each wish has a number; a higher one is a later one
  #pending = []; // {number, image, isQuick}, the oldest first
  #next = null; // the wish that has arrived and waits for the end of a fade
  #image = null; // what is shown
  #fading = null; // the animation that is under way
  #url = null;

  isBroken = false; // whether the picture that was wished for last could not be had

  constructor(box, onChange) {
    this.#box = box;
    this.#onChange = onChange;
  }

  get isEmpty() {
    return this.#image === null;
  }

  /** Show the picture of `url` as soon as it is decoded. `isQuick`: by the viewer's hand, who waits for it. */
  show(url, alt, isQuick = false) {
    if (url === this.#url && !this.isBroken) {
      this.#rename(alt);
      return;
    }
    this.#url = url;
    this.isBroken = false;
    const wish = { number: ++this.#wishes, image: new Image(), isQuick };
    if (this.#pending.length > 1) this.#letGo(this.#pending.pop());
    this.#pending.push(wish);
    wish.image.alt = alt;
    wish.image.draggable = false;
    wish.image.src = url;
    wish.image.decode().then(
      () => this.#arrived(wish),
      () => this.#failed(wish),
    );
  }

  /** Show nothing. */
  clear() {
    for (const wish of this.#pending) this.#letGo(wish);
    this.#box.replaceChildren();
    this.#pending = [];
    this.#next = this.#image = this.#fading = this.#url = null;
    this.isBroken = false;
  }

  #rename(alt) {
    const wished = (this.#pending.at(-1) ?? this.#next)?.image ?? this.#image;
    if (wished && wished.alt !== alt) wished.alt = alt;
  }

  #arrived(wish) {
    if (!this.#pending.includes(wish)) return; // it was let go of
    const isOlder = (each) => each.number < wish.number;
    for (const each of this.#pending.filter(isOlder)) this.#letGo(each);
    this.#pending = this.#pending.filter((each) => each.number > wish.number);
    this.#next = wish;
    this.#swap();
  }

  #failed(wish) {
    if (!this.#pending.includes(wish)) return;
    this.#pending = this.#pending.filter((each) => each !== wish);
    if (wish.number !== this.#wishes) return;
    this.isBroken = true;
    this.#onChange();
  }

  #letGo(wish) {
    wish.image.removeAttribute("src"); // ends the load
  }

  /** Let the next picture fade in. A fade that is under way goes on to its end, so that the box is never half empty. */
  #swap() {
    if (this.#fading || !this.#next) return;
    const { image, isQuick } = this.#next;
    const before = this.#image;
    this.#image = image;
    this.#next = null;
    this.#box.append(image);
    // `mix-blend-mode: plus-lighter` adds the two up: the sum is as bright as one of them all the time.
    const fading = (this.#fading = fade(image, 0, 1, isQuick));
    if (before) {
      before.alt = ""; // only one of them is to be spoken of
      fade(before, 1, 0, isQuick);
    }
    fading.finished.finally(() => {
      before?.remove();
      if (this.#fading !== fading) return; // all was cleared meanwhile
      this.#fading = null;
      this.#swap();
    });
    this.#onChange();
  }
}

function fade(image, from, to, isQuick) {
  const duration = isStill.matches ? 0 : isQuick ? QUICK_FADE_MS : FADE_MS;
  const fading = image.animate({ opacity: [from, to] }, { duration, easing: "ease-in-out", fill: "both" });
  fading.startTime = document.timeline.currentTime; // both at once: each on its own would begin when it is painted
  return fading;
}
