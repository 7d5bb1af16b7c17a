// The sentences, names and numbers of the page.
//
// Text from outside loses its invisible characters here. The tiles put it on the page as text, never as HTML.
// Must not know: elements.

const BADGES = { waiting: "Waiting", preview: "Preview", final: "Final", draft: "Draft", failed: "Failed", blocked: "Blocked" };
const REASONS = { draft: "Why this is a draft", failed: "What went wrong", blocked: "What went wrong" };
const LONGEST_NAME = 60; // letters of a file name, without the kind of picture and the suffix

/** The text without invisible characters and without those that change the direction of the text around it. */
export function plain(text) {
  return String(text ?? "")
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .replace(/[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, "");
}

/** The name in quotation marks, isolated from the direction of its text; with its number if there are several items. */
export function quoted(title) {
  const place = title.of > 1 ? ` (${numbered(title)})` : "";
  return `“\u2068${plain(title.name)}\u2069”${place}`;
}

export function numbered(title) {
  return title.of > 1 ? `${title.nth} of ${title.of}` : "";
}

export function badge(item) {
  if (item.kind === "failed" && item.state === "incomplete") return "Incomplete";
  if (item.kind === "waiting" && item.state === "generating") return "Generating";
  return BADGES[item.kind] ?? plain(item.kind);
}

/** The name of a frame: final, draft, or preview with its number. */
export function frameName(item, frame) {
  if (frame.is_final) return "final";
  if (item.kind === "draft" && frame === item.frames.at(-1)) return "draft";
  return frame.index === null ? "preview" : `preview ${frame.index + 1}`;
}

export function altText(item, frame, title) {
  const name = frameName(item, frame);
  return `${name === "final" ? "final picture" : name} of ${quoted(title)}`;
}

/** The words below an enlarged picture: the name, the frame and its facts. */
export function enlargedWords(item, frame, title) {
  return [quoted(title), frameName(item, frame), frameFacts(frame)].join(" · ");
}

/** The seconds until the first preview and until the final, if they are known; before the end, those until now. */
export function times(item, elapsedS) {
  const parts = [];
  if (item.preview_s !== null && item.preview_s !== item.final_s) parts.push(`first preview ${seconds(item.preview_s)}`);
  if (item.final_s !== null) parts.push(`final ${seconds(item.final_s)}`);
  else if (!item.has_ended && elapsedS !== null) parts.push(`${Math.floor(elapsedS)}\u00a0s so far`);
  return parts.join(" · ");
}

function seconds(number) {
  return `${number < 99.95 ? number.toFixed(1) : Math.round(number)}\u00a0s`;
}

/** The size in pixels; "" for an SVG without a size. */
export function pixels(frame) {
  return frame.size === null ? "" : `${frame.size[0]}\u00a0×\u00a0${frame.size[1]}`;
}

/** Format, size in pixels and bytes of a frame. */
export function frameFacts(frame) {
  return [frame.format, pixels(frame), byteCount(frame.bytes)].filter(Boolean).join(", ");
}

function byteCount(n_bytes) {
  if (n_bytes < 1e3) return `${n_bytes} bytes`;
  return n_bytes < 1e6 ? `${Math.round(n_bytes / 1e3)} kB` : `${(n_bytes / 1e6).toFixed(1)} MB`;
}

/** A file name that is safe on every system: the stream, the number and kind of the picture, and the suffix. */
export function fileName(item, frame, title) {
  const letters = plain(title.name).normalize("NFC").replace(/[^\p{L}\p{M}\p{N}_]+/gu, "-").replace(/^[-_]+|[-_]+$/g, "");
  const name = [...letters].slice(0, LONGEST_NAME).join("") || "picture";
  const place = title.of > 1 ? `-${title.nth}` : "";
  const suffix = /\.[a-z0-9]{1,5}$/.exec(frame.url)?.[0] ?? "";
  return `${name}${place}-${frameName(item, frame).replace(/[^a-z0-9]+/g, "-")}${suffix}`;
}

/** The notes of an item: a summary in one line, and all lines. */
export function notes(item, stream, isFirst) {
  const reason = REASONS[item.kind];
  const own = reason && item.frames.length ? [item.caption] : []; // without a picture the tile shows it already
  const lines = [...own, ...messages(item), ...(isFirst ? streamNotes(stream, item.caption) : [])];
  const count = lines.length === 1 ? "1 note" : `${lines.length} notes`;
  return { summary: reason ?? count, lines: lines.map(plain) };
}

function streamNotes(stream, caption) {
  const isNews = stream.error && !caption.includes(stream.error.message);
  return [...(isNews ? [`the stream: ${sentence(stream.error)}`] : []), ...messages(stream)];
}

function messages({ anomalies }) {
  return anomalies.map(({ message }) => message);
}

function sentence({ code, message }) {
  return code ? `${message} (${code})` : message;
}

/** A stream that has no items yet, or the failure of a stream, in the form of an item. */
export function itemOf(stream) {
  return {
    number: 0,
    state: stream.outcome === null ? "in_progress" : "failed",
    kind: stream.kind,
    caption: stream.caption,
    size: stream.size,
    frames: [],
    has_final: false,
    has_ended: stream.outcome !== null,
    preview_s: null,
    final_s: null,
    anomalies: [],
  };
}

/** The sentence that screen readers read when an item has ended; "" before. */
export function announcement(item, title) {
  if (item.kind === "final") return `The final picture of ${quoted(title)} has arrived.`;
  if (item.kind === "draft") return `Only a draft of ${quoted(title)} arrived.`;
  if (item.kind === "failed" || item.kind === "blocked") return `${quoted(title)}: ${plain(item.caption)}.`;
  return "";
}

/** The number of pictures, and of those that are not finished. */
export function pictureCount(n_items, n_unfinished) {
  if (!n_items) return "";
  const all = n_items === 1 ? "1 picture" : `${n_items} pictures`;
  return n_unfinished ? `${all} · ${n_unfinished} running` : all;
}
