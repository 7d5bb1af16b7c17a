import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const HOME = "/pictures/"; // where create_app is mounted

function Pictures() {
  const [shown, setShown] = useState([]);
  useEffect(() => {
    const streams = new Map(); // name -> {title, frames: number -> facts, items: number -> facts}
    const events = new EventSource(HOME + "events");
    const on = (kind, take) => events.addEventListener(kind, ({ data }) => take(JSON.parse(data)));
    on("hello", ({ is_new }) => is_new && streams.clear());
    on("gone", ({ stream }) => streams.delete(stream));
    on("stream", ({ stream, title, kind, caption }) => {
      const { frames, items } = streams.get(stream) ?? { frames: new Map(), items: new Map() };
      items.delete("end");
      if (kind !== "waiting") items.set("end", { stream, number: "end", frames: [], caption }); // a failure of its own
      streams.set(stream, { frames, items, title });
    });
    on("frame", (frame) => streams.get(frame.stream).frames.set(frame.number, frame));
    on("item", (item) => streams.get(item.stream).items.set(item.number, item));
    on("seen", () => setShown([...streams.values()]));
    return () => events.close();
  }, []);

  return shown.flatMap(({ title, frames, items }) => [...items.values()].map((item) => {
    const newest = frames.get(item.frames.at(-1)); // undefined: there is no picture yet, or it was withdrawn
    const image = newest && <img src={HOME + newest.small_url} alt="" />;
    return <figure key={`${item.stream} ${item.number}`}>{image}{title}: {item.caption}</figure>;
  }));
}

createRoot(document.querySelector("main")).render(<Pictures />);
