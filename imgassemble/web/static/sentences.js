// The sentences, names and numbers of the page.
//
// Text from outside loses its invisible characters here. The tiles put it on the page as text, never as HTML.
// Must not know: elements.

const BADGES = { waiting: "Waiting", preview: "Preview", final: "Final", draft: "Draft", failed: "Failed", blocked: "Blocked" };
const REASONS = { draft: "Why this is a draft", failed: "What went wrong", blocked: "What went wrong" };
// By badge, what an end user reads on a picture that is no result. The technical reason is behind "What went wrong".
const CAPTIONS = {
  Draft: "This is only a draft. The final picture did not come.",
  Failed: "This picture could not be made.",
  Incomplete: "This picture was not finished.",
  "No picture": "No picture came.",
  Blocked: "The service refused to make this picture.",
};
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
  if (item.is_orphaned) return "Stopped";
  if (item.kind === "failed" && item.state === "incomplete") return "Incomplete";
  if (item.kind === "failed" && item.state === "no_image") return "No picture";
  if (item.kind === "waiting" && item.state === "generating") return "Generating";
  return BADGES[item.kind] ?? plain(item.kind);
}

/** The sentence in place of a picture, or on one that is no result. */
export function caption(item) {
  return CAPTIONS[badge(item)] ?? plain(item.caption);
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
  const reason = item.is_orphaned ? undefined : REASONS[item.kind]; // that of an orphan is its caption
  const own = messages(item).map((line) => withoutId(line, item.id));
  const lines = [...(reason ? [item.caption] : []), ...own, ...(isFirst ? streamNotes(stream, item.caption) : [])];
  const count = lines.length === 1 ? "1 note" : `${lines.length} notes`;
  return { summary: reason ?? count, lines: lines.map(plain) };
}

function streamNotes(stream, caption) {
  const hasOwnTile = stream.kind !== "waiting"; // it has failed, and that tile says why
  const isNews = stream.error && !hasOwnTile && !caption.includes(stream.error.message);
  return [...(isNews ? [`the stream: ${sentence(stream.error)}`] : []), ...messages(stream)];
}

/** The message without the id of the item, which says nothing to a reader: the line is on the tile of the item. */
function withoutId(message, id) {
  return message.replaceAll(` of item '${id}'`, "");
}

function messages({ anomalies }) {
  return anomalies.map(({ message }) => message);
}

function sentence({ code, message }) {
  return code ? `${message} (${code})` : message;
}

/** An item whose producer has gone before its end. It waits no longer, but another producer may go on with it. */
export function orphanOf(item, stream) {
  return { ...item, kind: stream.kind, caption: stream.caption, is_orphaned: true, has_ended: true };
}

/** A stream that has no items yet, or the failure of a stream, in the form of an item. */
export function itemOf(stream) {
  return {
    number: 0,
    state: stream.outcome ?? "in_progress",
    kind: stream.kind,
    caption: stream.caption,
    size: stream.size,
    frames: [],
    has_final: false,
    has_ended: stream.outcome !== null || Boolean(stream.is_orphaned),
    is_orphaned: stream.is_orphaned,
    preview_s: null,
    final_s: null,
    anomalies: [],
  };
}

/** The sentence that screen readers read when an item has ended; "" before. */
export function announcement(item, title) {
  if (item.kind === "final") return `The final picture of ${quoted(title)} has arrived.`;
  if (item.kind === "draft") return `Only a draft of ${quoted(title)} arrived.`;
  if (item.kind === "failed" || item.kind === "blocked") return `${quoted(title)}: ${caption(item)}`;
  return "";
}

/** The number of pictures, and of those that are not finished. */
export function pictureCount(n_items, n_unfinished) {
  if (!n_items) return "";
  const all = n_items === 1 ? "1 picture" : `${n_items} pictures`;
  return n_unfinished ? `${all} · ${n_unfinished} running` : all;
}
