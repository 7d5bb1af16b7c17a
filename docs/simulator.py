"""Draws docs/simulator.md from the simulator's tables: `python docs/simulator.py`."""

from pathlib import Path

from imgassemble.simulator import DIALECTS, FAULTS

TEXT = """\
# The simulator

Stands in for the services: no key, no network, no bill. This page is drawn by `python docs/simulator.py`; a test draws it
again, and runs the programs in it.

## On the command line

```console
$ imgassemble simulate "a lake at night" --size 96x64 --partials 3
$ imgassemble simulate --api images --format WEBP --size 96x64 --items 2
$ imgassemble simulate --dialect azure --size 96x64 --fault cut-picture comments
```

With `--serve [HOST:]PORT` (extra: `pip install "imgassemble[web]"`) it is a server, and a client is pointed at it by its
`base_url`: `http://127.0.0.1:PORT/v1`, OpenRouter's at `/api/v1`. A request chooses for itself with the headers
`x-imgassemble-dialect`, `x-imgassemble-faults` and `x-imgassemble-seed`. `--delay-s`, `--jitter-s` and `--chunk-bytes` set the
pace; `--replay FILE` sends a recorded stream again.

## In Python

Pictures and streams are pure functions: the same order gives the same bytes.

```python
from imgassemble import assemble
from imgassemble.simulator import Order, pictures_of, play

order = Order(prompt="a lake at night", size=(96, 64), faults=("disconnect-after-event=6",))
answer = play(order)                       # answer.events as mappings, answer.body as the pieces of bytes that are sent
result = assemble(answer.body)
print(result.outcome, [len(item.partials) for item in result.items.values()])
print(len(pictures_of(order)[0].partials), "previews were made")
```

```text
incomplete [1]
3 previews were made
```

## In tests

With the extra `web`, pytest has the fixture `image_server`: `.base_url`, `.openrouter_url`, `.use(...)` for one test,
`.requests`, what was asked, and `.sent`, what was answered.

```python
from urllib.request import urlopen
from imgassemble import assemble

def test_what_my_program_does_with_a_draft(image_server):
    image_server.use(dialect="openai-2025", faults=["no-final"], size=(96, 64))
    with urlopen(image_server.base_url + "/responses", data=b'{{"input": "an otter", "stream": true}}') as body:
        (item,) = assemble(body).items.values()
    assert item.is_provisional
    assert image_server.requests[0].path == "/v1/responses"
```

## Dialects

{dialects}

## Faults

They can be combined, and are the same for the same seed.

{faults}
"""


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """The whole page."""
    dialects = [f"| `{name}` | {row.says} |" for name, row in DIALECTS.items()]
    faults = [f"| `{fault.usage}` | {fault.says} |" for fault in FAULTS.values()]
    return TEXT.format(
        dialects="\n".join(["| dialect | who, and what is different |", "|---|---|", *dialects]),
        faults="\n".join(["| fault | what happens |", "|---|---|", *faults]),
    )


if __name__ == "__main__":
    main()
