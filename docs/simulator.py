"""Writes docs/simulator.md from the simulator's tables: `python docs/simulator.py`."""

from pathlib import Path

from imgassemble.simulator import DIALECTS, FAULTS

TEXT = """\
# The simulator

The simulator replaces the services: no key, no network, no costs. A test runs the programs of this page.

## On the command line

```console
$ imgassemble simulate "a lake at night" --size 96x64 --partials 3
$ imgassemble simulate --api images --format WEBP --size 96x64 --items 2
$ imgassemble simulate --dialect azure --size 96x64 --fault cut-picture comments
$ imgassemble simulate --format GIF --frames 4 --size 96x64 --turns 2
```

With `--serve [HOST:]PORT` (in a clone: `pip install '.[web]'`) it is a server. Its `base_url` for a client is
`http://127.0.0.1:PORT/v1`, or `/api/v1` for a client of OpenRouter. A request can choose with the headers
`x-imgassemble-dialect`, `x-imgassemble-faults` and `x-imgassemble-seed`. `--delay-s`, `--jitter-s` and `--chunk-bytes` set the
pace. Each request is a line on standard error; `-q` leaves it out. `--replay FILE` sends a recorded stream again.

`--partials 2` gives three previews of the Responses API: OpenAI sends the result once more as the last one. The dialect
`codex`, and `--api images`, send exactly two.

## Every service with curl

`imgassemble simulate --serve 8000` answers each of these lines. For the service itself, put its address in place of
`localhost:8000`, and add its key.

```sh
{curls}
```

| API | address of the service | key |
|---|---|---|
{hosts}

ComfyUI reports over a websocket (`/prompt`, `/ws`, `/history`, `/view`; it also needs `pip install websockets`), its API v2 over
server-sent events (`/api/v2/jobs`), and the previews of AUTOMATIC1111 are polled (`/sdapi/v1/txt2img`, `/sdapi/v1/progress`,
`/internal/progress`). [Engines](engines.md) and [Clients](clients.md) have programs for them.

## In Python

Pictures and streams are pure functions: equal orders give equal bytes.

```python
from imgassemble import assemble
from imgassemble.simulator import Order, pictures_of, play

order = Order(prompt="a lake at night", size=(96, 64), faults=("disconnect-after-event=6",))
answer = play(order)                       # answer.events are mappings, answer.body the pieces of bytes that are sent
result = assemble(answer.body)
print(result.outcome, [len(item.partials) for item in result.items.values()])
print(len(pictures_of(order)[0].partials), "previews were made")
```

```text
incomplete [1]
3 previews were made
```

A stream of the Responses API can hold several responses: `Order(turns=3)` sends three, one after the other, as an agent
does; `Order(lanes=2)` sends two side by side, their events marked with `stream_id`, as on a socket. `format="GIF"` and
`format="WEBP"` with `frames=4` give animations, `format="SVG"` a vector graphic. `Order` documents all fields.

## In tests

With the extra `web`, pytest has the fixture `image_server`: `.base_url` and `.openrouter_url` for clients, `.use(...)` for
the answers of one test, `.requests` with the requests that came, and `.sent` with the answers.

```python
from urllib.request import urlopen
from imgassemble import assemble

def test_my_program_with_a_draft_only(image_server):
    image_server.use(dialect="openai-2025", faults=["no-final"], size=(96, 64))
    with urlopen(image_server.base_url + "/responses", data=b'{{"input": "an otter", "stream": true}}') as body:
        (item,) = assemble(body).items.values()
    assert item.is_provisional
    assert image_server.requests[0].path == "/v1/responses"
```

`image_server.use(faults=["rate-limit"], times=2, retry_after_s=0)` refuses two requests and answers the third: so a test
shows whether a client tries again.

## Dialects

{dialects}

## Faults

Faults can be combined. They are the same for the same seed.

{faults}
"""


_GEMINI = "/v1beta/models/gemini-3-pro-image:streamGenerateContent?alt=sse"
_MESSAGES = '"messages": [{"role": "user", "content": "an otter"}]'
# The API, its path, the body of a request, the address of the service, its header with the key.
CURLS = (
    (
        "responses",
        "/v1/responses",
        '{"model": "gpt-5", "input": "an otter", "stream": true, "tools": [{"type": "image_generation", "partial_images": 2}]}',
        "https://api.openai.com",
        "Authorization: Bearer $OPENAI_API_KEY",
    ),
    (
        "images",
        "/v1/images/generations",
        '{"model": "gpt-image-1", "prompt": "an otter", "partial_images": 2, "stream": true}',
        "https://api.openai.com",
        "Authorization: Bearer $OPENAI_API_KEY",
    ),
    (
        "router-images",
        "/api/v1/images",
        '{"model": "openai/gpt-image-1", "prompt": "an otter", "stream": true}',
        "https://openrouter.ai",
        "Authorization: Bearer $OPENROUTER_API_KEY",
    ),
    (
        "chat",
        "/api/v1/chat/completions",
        '{"model": "google/gemini-2.5-flash-image", "modalities": ["image", "text"], "stream": true, '
        + _MESSAGES
        + "}",
        "https://openrouter.ai",
        "Authorization: Bearer $OPENROUTER_API_KEY",
    ),
    (
        "gemini",
        _GEMINI,
        '{"contents": [{"parts": [{"text": "an otter"}]}]}',
        "https://generativelanguage.googleapis.com",
        "x-goog-api-key: $GEMINI_API_KEY",
    ),
    (
        "interactions",
        "/v1beta/interactions",
        '{"model": "gemini-3-pro-image", "input": "an otter", "stream": true}',
        "https://generativelanguage.googleapis.com",
        "x-goog-api-key: $GEMINI_API_KEY",
    ),
    (
        "seedream",
        "/api/v3/images/generations",
        '{"model": "doubao-seedream-5-0-260128", "prompt": "an otter", "response_format": "b64_json", "stream": true}',
        "https://ark.cn-beijing.volces.com",
        "Authorization: Bearer $ARK_API_KEY",
    ),
    (
        "novelai",
        "/ai/generate-image-stream",
        '{"model": "nai-diffusion-4-5-full", "action": "generate", "input": "an otter", "parameters": {"width": 832, "height": 1216, "steps": 28, "n_samples": 1, "stream": "sse"}}',
        "https://image.novelai.net",
        "Authorization: Bearer $NOVELAI_API_KEY",
    ),
    (
        "a1111",
        "/sdapi/v1/txt2img",
        '{"prompt": "an otter", "width": 512, "height": 512, "steps": 20}',
        "http://127.0.0.1:7860",
        "",
    ),
)


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    dialects = [f"| `{name}` | {row.description} |" for name, row in DIALECTS.items()]
    faults = [f"| `{fault.usage}` | {fault.description} |" for fault in FAULTS.values()]
    lines = [
        f"curl -sN -H 'Content-Type: application/json' 'localhost:8000{path}' \\\n"
        f"  -d '{body}' | imgassemble save - -o out/{api}"
        for api, path, body, *_ in CURLS
    ]
    return TEXT.format(
        curls="\n".join(lines),
        hosts="\n".join(f"| `{api}` | `{host}` | {_key_argument(key)} |" for api, _, _, host, key in CURLS),
        dialects="\n".join(["| dialect | service and differences |", "|---|---|", *dialects]),
        faults="\n".join(["| fault | effect |", "|---|---|", *faults]),
    )


def _key_argument(header: str) -> str:
    return f'`-H "{header}"`' if header else "none"


if __name__ == "__main__":
    main()
