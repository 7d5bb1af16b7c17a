// What the server tells, in batches: each is all that one look at its pictures found changed.
//
// Knows: the events, when the connection is lost, and how it is made again. Must not know: what is done with the news.

const RETRY_MS = 2_000; // a browser that has given up is asked again: it gives up on any answer that is no stream
const LONGEST_RETRY_MS = 30_000;

/** Listen for ever. `onBatch({isNew, gone, streams, items})`: with `isNew`, what was told before counts no more. */
export function listen(address, { onBatch, onOpen, onLost }) {
  let batch = empty(false);
  let retryMs = RETRY_MS;

  function deliver() {
    const told = batch;
    batch = empty(false);
    onBatch(told);
  }

  function connect() {
    const source = new EventSource(address);
    const on = (kind, take) => source.addEventListener(kind, (event) => take(JSON.parse(event.data)));
    on("hello", ({ is_new }) => {
      batch = empty(is_new);
      retryMs = RETRY_MS;
      onOpen();
    });
    on("gone", (facts) => batch.gone.push(facts));
    on("stream", (facts) => batch.streams.push(facts));
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

function empty(isNew) {
  return { isNew, gone: [], streams: [], items: [] };
}
