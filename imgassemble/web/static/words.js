// The sentences, names and numbers of the page.
//
// Knows: how facts are said. Must not know: elements. What comes from outside is made harmless for sentences here, and is
// put on the page as text alone.

const BADGES = { waiting: "Waiting", preview: "Preview", final: "Final", draft: "Draft", failed: "Failed" };
const REASONS = { draft: "Why this is a draft", failed: "What went wrong" };
const OUTCOMES = {
  completed: "ended without a picture",
  failed: "failed",
  incomplete: "ended before a picture came",
  no_image: "ended without a picture",
};
const LONGEST_NAME = 60; // letters of a file's name, before what kind of picture it is

/** The text without characters that cannot be seen, or that turn the direction of what stands around it. */
export function plain(text) {
  return String(text ?? "")
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "");
}

/** The name in quotation marks, whatever direction it is written in; with its place where a stream has several items. */
export function quoted(title) {
  const place = title.of > 1 ? ` (${placed(title)})` : "";
  return `“\u2068${plain(title.name)}\u2069”${place}`;
}

export function placed(title) {
  return title.of > 1 ? `${title.nth} of ${title.of}` : "";
}

export function badge(item) {
  if (item.kind === "failed" && item.state === "incomplete") return "Incomplete";
  if (item.kind === "waiting" && item.state === "generating") return "Generating";
  return BADGES[item.kind] ?? plain(item.kind);
}

/** What a frame of an item is called: final, draft, or preview with its number. */
export function frameName(item, frame) {
  if (frame.is_final) return "final";
  if (item.kind === "draft" && frame.url === item.shown) return "draft";
  return frame.index === null ? "preview" : `preview ${frame.index + 1}`;
}

export function altText(item, frame, title) {
  const name = frameName(item, frame);
  return `${name === "final" ? "final picture" : name} of ${quoted(title)}`;
}

/** The seconds to the first preview and to the final, as far as they are known. */
export function times(item) {
  const told = [];
  if (item.preview_s !== null && item.preview_s !== item.final_s) told.push(`first preview ${seconds(item.preview_s)}`);
  if (item.final_s !== null) told.push(`final ${seconds(item.final_s)}`);
  return told.join(" · ");
}

function seconds(number) {
  return `${number < 99.95 ? number.toFixed(1) : Math.round(number)}\u00a0s`;
}

export function pixels(frame) {
  return `${frame.size[0]}\u00a0×\u00a0${frame.size[1]}`;
}

/** Format, size and weight of a frame. */
export function frameFacts(frame) {
  return `${frame.format}, ${pixels(frame)}, ${weight(frame.bytes)}`;
}

function weight(n_bytes) {
  if (n_bytes < 1e3) return `${n_bytes} bytes`;
  return n_bytes < 1e6 ? `${Math.round(n_bytes / 1e3)} kB` : `${(n_bytes / 1e6).toFixed(1)} MB`;
}

/** A file's name that is safe on every system: the stream, which picture of it, and the ending. */
export function fileName(item, frame, title) {
  const letters = plain(title.name).normalize("NFC").replace(/[^\p{L}\p{M}\p{N}_]+/gu, "-").replace(/^[-_]+|[-_]+$/g, "");
  const name = [...letters].slice(0, LONGEST_NAME).join("") || "picture";
  const place = title.of > 1 ? `-${title.nth}` : "";
  const suffix = /^\.[a-z0-9]{1,5}$/.test(frame.suffix) ? frame.suffix : "";
  return `${name}${place}-${frameName(item, frame).replace(/[^a-z0-9]+/g, "-")}${suffix}`;
}

/** What there is to say of an item beside its picture: one line for the summary, and all sentences. */
export function notes(item, stream, isFirst) {
  const reason = REASONS[item.kind];
  const own = reason && item.shown ? [item.caption] : []; // without a picture it stands in its place
  const told = [...own, ...messages(item), ...(isFirst ? streamSentences(stream, item.caption) : [])];
  const others = told.length === 1 ? "1 note" : `${told.length} notes`;
  return { summary: reason ?? others, sentences: told.map(plain) };
}

function streamSentences(stream, caption) {
  const isNews = stream.error && !caption.includes(stream.error.message);
  return [...(isNews ? [`the stream: ${sentence(stream.error)}`] : []), ...messages(stream)];
}

function messages({ anomalies }) {
  return anomalies.map(({ message }) => message);
}

function sentence({ code, message }) {
  return code ? `${message} (${code})` : message;
}

/** A stream that has named no item, as one that waits, or that ended in vain. */
export function itemOf(stream) {
  const words = OUTCOMES[stream.outcome] ?? plain(stream.outcome);
  const ended = stream.error ? `${words}: ${sentence(stream.error)}` : words;
  return {
    id: "",
    number: 0,
    state: stream.outcome === null ? "in_progress" : "failed",
    kind: stream.outcome === null ? "waiting" : "failed",
    caption: stream.outcome === null ? "waiting for the first preview" : ended,
    size: stream.size,
    shown: null,
    partials: [],
    final: null,
    has_final: false,
    has_ended: stream.outcome !== null,
    preview_s: null,
    final_s: null,
    anomalies: [],
  };
}

/** What is said aloud when an item has ended; "" while it has not. */
export function announcement(item, title) {
  if (item.kind === "final") return `The final picture of ${quoted(title)} is there.`;
  if (item.kind === "draft") return `Of ${quoted(title)} only a draft came.`;
  if (item.kind === "failed") return `${quoted(title)}: ${plain(item.caption)}.`;
  return "";
}

/** How many pictures there are, and how many of them are under way. */
export function counted(n_items, n_under_way) {
  if (!n_items) return "";
  const all = n_items === 1 ? "1 picture" : `${n_items} pictures`;
  return n_under_way ? `${all} · ${n_under_way} under way` : all;
}
