// Receives the changes of the gallery as server-sent events, and passes them on in batches.
//
// Must not know: what is done with the changes.

const RETRY_MS = 2_000; // a browser stops trying after any answer that is not an event stream; then this file tries
const LONGEST_RETRY_MS = 30_000;

/** Listens until the page is closed. `onBatch({isNew, gone, streams, frames, items})`: with `isNew`, discard earlier batches.
 *  `onOpen(nowS)`: the present time of the server; the beginnings of streams have the same clock. */
export function listen(address, { onBatch, onOpen, onLost }) {
  let batch = emptyBatch(false);
  let retryMs = RETRY_MS;

  function deliver() {
    const complete = batch;
    batch = emptyBatch(false);
    onBatch(complete);
  }

  function connect() {
    const source = new EventSource(address);
    const on = (kind, take) => source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
    on("hello", ({ is_new, now_s }) => {
      batch = emptyBatch(is_new);
      retryMs = RETRY_MS;
      onOpen(now_s);
    });
    on("gone", (facts) => batch.gone.push(facts));
    on("stream", (facts) => batch.streams.push(facts));
    on("frame", (facts) => batch.frames.push(facts));
    on("item", (facts) => batch.items.push(facts));
    on("seen", deliver);
    source.addEventListener("error", () => {
      onLost();
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(connect, retryMs);
      retryMs = Math.min(2 * retryMs, LONGEST_RETRY_MS);
    });
  }

  connect();
}

function emptyBatch(isNew) {
  return { isNew, gone: [], streams: [], frames: [], items: [] };
}
