"""Draws docs/clients.md from the programs in docs/clients and from what was measured: `python docs/clients.py`."""

import json
from pathlib import Path

HERE = Path(__file__).parent

TEXT = """\
# The clients

imgassemble imports no client: it recognises events by their shape. Hand over what yours gives, as it is: mappings, its own
objects, lines of JSON, or the bytes of the body. Where a client loses something on the way, the bytes have it: they are the
tap that works with all of them.

Every program here was run by a test against `imgassemble simulate` (that with Last-Event-ID against a server of its own), with
a real client over a real socket, unchanged but for the address and the key in the environment. This page is drawn by
`python docs/clients.py` from them and from what `.ci/clients --measure` found.

## What each one passes on

- **partials**: whether all previews come, under their index.
- **format, size**: whether what the service says of its pictures comes (the bytes say it anyway; a false claim is an anomaly).
- **final**: whether the result comes, byte for byte.
- **refused**, **blocked**, **failed**, **cut**: what a user sees where the request is refused (HTTP 400), the stream says
  `moderation_blocked`, says `response.failed`, or breaks off. A `ProviderError` is imgassemble's, with the service's code;
  others are the client's own, and pass through. What was received before is still in the assembler.
- **price**: the time from the body to assembled pictures (1024x1024), in that of `urllib` and the body's bytes. One run on
  two shared cores.

{table}

{notes}

## Programs

{programs}
"""

NOTES = """\
- LangChain refuses `partial_images` ("not yet supported"), and hands on results only.
- pydantic-ai hands on drafts and the result alike, as files without an index, and the result once more with the end of the
  run: only that is a final. Each draft is an anomaly of its missing index.
- OpenRouter's clients know no images in chats, and drop them: tap the bytes, or use `images.generate`.
- Where an event does not fit the schema of OpenRouter's clients (its nested `error`), they hand it on as `UNKNOWN` with the
  original in `raw`; that is read.
- `litellm` raises its own error for whatever the stream says of a failure, and streams no Images API.
- An `http.client` response that is iterated does not tell that it was cut, and the items are INCOMPLETE then; `read1` does."""

PROGRAMS = {
    "openai": ("with_openai.py", "with_openai_async.py"),
    "openai, over cuts": ("with_openai_resuming.py",),
    "a plain SSE URL with Last-Event-ID, over cuts": ("with_sse_resuming.py",),
    "openrouter": ("with_openrouter.py",),
    "bytes, with any HTTP client": (
        "with_httpx.py",
        "with_httpx2.py",
        "with_requests.py",
        "with_aiohttp.py",
        "with_urllib.py",
    ),
    "openai-agents": ("with_openai_agents.py",),
    "litellm": ("with_litellm.py",),
    "pydantic-ai": ("with_pydantic_ai.py",),
    "agent-framework": ("with_agent_framework.py",),
    "LangChain": ("with_langchain.py",),
    "TypeScript: openai": ("with_openai.mjs",),
    "TypeScript: @openrouter/sdk": ("with_openrouter.mjs",),
}
COLUMNS = (
    "partials",
    "claims",
    "final",
    "moderation-http",
    "moderation-stream",
    "response-failed",
    "disconnect-after-event",
)
HEADS = ("partials", "format, size", "final", "refused", "blocked", "failed", "cut", "price")


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """The whole page."""
    measured = json.loads((HERE / "clients.json").read_text())
    return TEXT.format(table=_table(measured), notes=NOTES, programs="\n\n".join(map(_chapter, PROGRAMS)))


def _table(measured: dict[str, dict]) -> str:
    lines = [f"| client | {' | '.join(HEADS)} |", "|---" * (len(HEADS) + 1) + "|"]
    for name, client in measured.items():
        versions = ", ".join(f"{package} {number}" for package, number in client["versions"].items()) or name
        versions = f"Node: {versions}" if name.startswith("node-") else versions
        lines.append(f"| **{versions}** |" + " |" * len(HEADS))
        for route, facts in client["routes"].items():
            told = [facts[column] for column in COLUMNS] + [f"{facts['price']:.1f}" if facts["price"] else "–"]
            lines.append(f"| `{route}` | {' | '.join(_short(each) for each in told)} |")
    return "\n".join(lines)


def _short(said: str) -> str:
    return {"none sent": "–", "the result": "yes", "all, by index": "all"}.get(said, said)


def _chapter(title: str) -> str:
    programs = []
    for name in PROGRAMS[title]:
        kind = "js" if name.endswith(".mjs") else "python"
        programs.append(f"```{kind}\n{(HERE / 'clients' / name).read_text()}```")
    return f"### {title}\n\n" + "\n\n".join(programs)


if __name__ == "__main__":
    main()
