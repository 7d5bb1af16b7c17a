// A box in which one picture fades into the next, without flicker and never back to an older one.
//
// A picture is put on the page once it is decoded. If a later request is decoded first, the older one is dropped. At most
// two loads run: the oldest, so that a slow connection shows a picture at all, and the newest.
// Must not know: the contents of the pictures.

const FADE_MS = 450;
const QUICK_FADE_MS = 120;
const isStill = matchMedia("(prefers-reduced-motion: reduce)");

export class Crossfade {
  #box;
  #onChange;
  #n_requests = 0; // each request has a number; a later one has a higher number
  #loading = []; // {number, image, isQuick}, the oldest first
  #next = null; // the request that is decoded and waits for the end of a fade
  #image = null; // the image that is shown
  #fading = null; // the animation that runs
  #url = null;

  isBroken = false; // whether the last request failed

  constructor(box, onChange) {
    this.#box = box;
    this.#onChange = onChange;
  }

  get isEmpty() {
    return this.#image === null;
  }

  /** Show the picture of `url` as soon as it is decoded. `isQuick`: a short fade, because the viewer waits for it. */
  show(url, alt, isQuick = false) {
    if (url === this.#url && !this.isBroken) {
      this.#rename(alt);
      return;
    }
    this.#url = url;
    this.isBroken = false;
    const request = { number: ++this.#n_requests, image: new Image(), isQuick };
    if (this.#loading.length > 1) cancel(this.#loading.pop());
    this.#loading.push(request);
    request.image.alt = alt;
    request.image.draggable = false;
    request.image.src = url;
    request.image.decode().then(
      () => this.#takeDecoded(request),
      () => this.#takeFailed(request),
    );
  }

  /** Show nothing. */
  clear() {
    for (const request of this.#loading) cancel(request);
    this.#box.replaceChildren();
    this.#loading = [];
    this.#next = this.#image = this.#fading = this.#url = null;
    this.isBroken = false;
  }

  #rename(alt) {
    const requested = (this.#loading.at(-1) ?? this.#next)?.image ?? this.#image;
    if (requested && requested.alt !== alt) requested.alt = alt;
  }

  #takeDecoded(request) {
    if (!this.#loading.includes(request)) return; // it was dropped
    const isOlder = (each) => each.number < request.number;
    for (const each of this.#loading.filter(isOlder)) cancel(each);
    this.#loading = this.#loading.filter((each) => each.number > request.number);
    this.#next = request;
    this.#swap();
  }

  #takeFailed(request) {
    if (!this.#loading.includes(request)) return;
    this.#loading = this.#loading.filter((each) => each !== request);
    if (request.number !== this.#n_requests) return;
    this.isBroken = true;
    this.#onChange();
  }

  /** Fade to the next picture. A running fade is finished first, so that the box is never half empty. */
  #swap() {
    if (this.#fading || !this.#next) return;
    const { image, isQuick } = this.#next;
    const before = this.#image;
    this.#image = image;
    this.#next = null;
    this.#box.append(image);
    // With `mix-blend-mode: plus-lighter` the sum of the two is always as bright as one of them.
    const fading = (this.#fading = fade(image, 0, 1, isQuick));
    if (before) {
      before.alt = ""; // screen readers mention only one of them
      fade(before, 1, 0, isQuick);
    }
    fading.finished.finally(() => {
      before?.remove();
      if (this.#fading !== fading) return; // the box was cleared meanwhile
      this.#fading = null;
      this.#swap();
    });
    this.#onChange();
  }
}

/** End the load of a request. */
function cancel(request) {
  request.image.removeAttribute("src");
}

function fade(image, from, to, isQuick) {
  const duration = isStill.matches ? 0 : isQuick ? QUICK_FADE_MS : FADE_MS;
  const fading = image.animate({ opacity: [from, to] }, { duration, easing: "ease-in-out", fill: "both" });
  fading.startTime = document.timeline.currentTime; // both fades start together, not each at its first paint
  return fading;
}
