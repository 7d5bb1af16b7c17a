"""Draw docs/clients.md from the programs in docs/clients and from the measured results: `python docs/clients.py`."""

import json
from pathlib import Path

HERE = Path(__file__).parent

TEXT = """\
# Clients

imgassemble imports no client. It recognises events by their shape. Pass what your client gives you, as it is: mappings, its own
objects, JSON text, or the bytes of the body. If a client drops something, the bytes still have it; every client gives access
to them.

A test runs every program of this page with the real client over a real socket, against `imgassemble simulate` (the program with
Last-Event-ID against a server of its own). Only the address and the key in the environment differ, so that
you can run them [without a key](../README.md#without-a-key), too. The table is measured by
`.ci/clients --measure`.

## What each client passes on

- **partials**: whether all previews arrive, with their index.
- **format, size**: whether the service's claims about its pictures arrive. (The bytes contain both. A false claim is an anomaly.)
- **final**: whether the result arrives, byte for byte.
- **refused**, **blocked**, **failed**, **cut**: the error that you see if the request is refused (HTTP 400), if the stream says
  `moderation_blocked` or `response.failed`, or if the connection breaks. `ProviderError` is an error of imgassemble with the
  service's code. Other errors are the client's own, and pass through. The assembler keeps what it received before.
- **price**: the time from the request to assembled pictures (1024x1024), relative to `assemble(urlopen(request))`, which is 1.0.
  One run on two shared cores: differences below 0.3 mean nothing.

{table}

{notes}

## Programs

Install the packages that a program imports; the table above has their names and versions.

{programs}
"""

NOTES = """\
- LangChain refuses `partial_images` ("not yet supported"), and passes on results only.
- pydantic-ai passes on drafts and the result as files without an index, and the result again at the end of the run. Only this
  one is a final. Each draft causes an anomaly, because it has no index.
- OpenRouter's clients drop images in chats. Pass the bytes, or use `images.generate`.
- If an event does not fit the schema of OpenRouter's clients (for example a nested `error`), they pass it on as `UNKNOWN`, with
  the original in `raw`. imgassemble reads the original.
- google-genai gives pictures of generateContent as raw bytes, and those of the Interactions API as base64.
- openai-agents, and ChatKit on it, may drop events that they have received if the stream breaks after them.
- ChatKit's previews have no index of their own, and its pictures always claim to be PNG.
- The AI SDK 7.0.173 drops `preliminary` for a tool that the service runs. So its previews look like results: each one replaces
  the one before, with an anomaly, and the last one is the picture.
- The messages of ComfyUI and the answers of AUTOMATIC1111 are no stream of events. `comfyui_events` and `polled_events` (in
  `imgassemble.streams`) read them.
- Comfy's client goes on by polling if its stream of events breaks, and reports an error only when the job has ended.
- A picture of one event costs little, so that for Seedream and NovelAI the price is mostly that of opening an HTTP client.
- `litellm` raises its own error for each failure that the stream reports, and does not stream the Images API.
- If you iterate an `http.client` response, a cut looks like a normal end, and the items are INCOMPLETE. `read1` raises."""

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
    "google-genai": ("with_google_genai.py", "with_google_genai_interactions.py"),
    "Seedream": ("with_seedream.py",),
    "NovelAI": ("with_novelai.py",),
    "ComfyUI": ("with_comfyui.py",),
    "Comfy's API v2: comfy-sdk": ("with_comfy_sdk.py",),
    "AUTOMATIC1111, Forge, SD.Next": ("with_a1111.py",),
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
    """Return the whole page."""
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
