"""Write docs/processes.md from the programs in docs/processes: `python docs/processes.py`."""

from pathlib import Path

HERE = Path(__file__).parent / "processes"

TEXT = """\
# Several processes

A `Gallery` lives in one process. A `RedisGallery` has the same methods, and its streams are on Redis or Valkey: any process can
make a stream, and any worker shows it. If one process is enough, use [`Gallery`](screens.md#fastapi), which needs no server.

This is a FastAPI application with two workers, and a producer that runs in [arq](https://arq-docs.helpmanual.io). A test runs both
unchanged with real processes, a real Redis and the client of OpenAI, and kills a worker and producers. Celery or a script works in
the same way: a producer is a `with gallery.produce(name)` block.

Save the two programs below as `app.py` and `producer.py` in one folder. `imgassemble` is installed from a clone
(`pip install '.[web,redis]'`), and Redis or Valkey by `apt install redis-server`. These lines run the application against the simulator, without a key:

```sh
pip install arq==0.25.0 fastapi openai  # later versions of arq need an older client of Redis
redis-server --appendonly yes --maxmemory-policy volatile-ttl &
imgassemble simulate --serve 8080 --dialect openai-2025 &
export OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_API_KEY=any
arq producer.WorkerSettings &
arq producer.WorkerSettings &
uvicorn app:app --workers 2 &
curl --retry 5 --retry-connrefused -X POST 'http://127.0.0.1:8000/draw?prompt=an+otter'
```

The page is then at http://127.0.0.1:8000/pictures/. `curl` waits until the application runs.

Without an application, two commands do the same. The first sends a stream (a file, or `-` for a pipe) to the gallery, and goes on
where it stopped if it is run again. The second shows the gallery:

```sh
imgassemble simulate "an otter" | imgassemble relay - redis://localhost:6379/0 --as otter-1
imgassemble view redis://localhost:6379/0
```

## The application: `app.py`

```python
{app}```

- **One gallery for each process.** It connects when it is first needed. One thread reads the changes for all viewers of a process.
- **`authorize` is asked for each stream and each frame**, before the frame is loaded from Redis.
- **`stop` works from any process.** The producer gets its result within about a second.

## The producer: `producer.py`

```python
{producer}```

- **`open_stream` gets a cursor.** It is empty only if no producer of this stream has received a response id. So an image is paid for
  once: the next producer continues the same response. A stream that has ended is not opened again, and its result is returned.
- **The response id is stored before the next event is read.** This is the only time at which the stream waits for Redis: ten seconds
  at most.
- **One producer at a time.** It has a lease of 30 seconds, which it renews every 5 seconds. A second one gets `StreamTakenError`.
- **Your program restarts producers.** `gallery.orphans()` names the streams whose producer stopped before their end. Here, arq has the
  jobs: `restart` tells it that their workers have stopped. On SIGTERM, arq cancels its jobs, the leases are given back, and the next
  worker goes on at once.
- **Streams that can go on** are those of the Responses API with `background=True`, and other services whose `open_stream` can continue
  from a response id. A stream of the Images API cannot: the page says so, and `produce` raises `IncompleteStreamError` and asks for
  nothing. Call `gallery.remove(name)` first if you want to pay for another image.
- **`gallery.add(name)`** shows a stream that a single program makes, without restarts: `assemble(stream, on_update=gallery.add(name))`.

## When something fails

Each line is a test with a real server. Nothing that was paid for is lost with a viewer, a worker or Redis: the producer has the
`Result`.

| Event | Viewers | You |
|---|---|---|
| a producer is killed | keep the previews; after the lease and 2 s, each open picture says "Stopped" | run the job again; it goes on |
| a producer sleeps longer than its lease | see the pictures of its successor | the first one gets `StreamTakenError`, and writes nothing more |
| a producer of the Images API is killed | "Stopped", and that the picture cannot be finished | `remove(name)`, and make it again if you want to pay again |
| a web worker is killed | connect to another one, and go on; nothing comes twice | nothing |
| Redis is killed, with persistence | keep what they have, and go on | nothing |
| Redis is killed, without persistence | begin again with the streams whose producers run: these are sent again | make lost streams again |
| a failover to a replica that lacks writes | begin again with what is left; running producers send all of it again | as above, for the last second |
| Redis is gone when a stream ends | keep what they have | the log says so; after 30 s `SinkError` with the `result`. Ctrl-C and cancellation end the wait |
| Redis hangs | keep what they have; frames come when it answers | nothing; the stream goes on meanwhile |
| the memory is full | may miss previews, never a result that fits | `SinkError` with the `result`, if the end is not on Redis after 30 s |
| the link is slow | results come before old previews; replaced previews are left out | nothing |
| a frame was tampered with | do not see it | look at `gallery.n_tampered` and the log |
| an entry is malformed | do not see it | look at `gallery.n_malformed` and the log |
| the log was trimmed while a viewer was away | begin again, and miss nothing | nothing |
| `remove(name)`, or `keep_s` has passed | the pictures go | nothing |

## The server

**Sizes.** The figures are those of `python -m benchmarks --full --only Redis` on two cores.

- *Memory.* An image needs {memory} times the bytes of its frames: a PNG of 1024x1024 with three previews has 4 to 6 MB. Results are kept for
  `keep_s` (an hour), previews for a sixth of it. Ten images a minute need about 2 GB.
- *Entries.* A frame makes two entries of about 400 bytes. The log has the last 10,000, those of about 1,000 images. It is only for
  viewers that come back; a new viewer gets the present facts.
- *Connections.* A web worker has at most seven, for any number of viewers. Each stream that is made has one.
- *Network.* Redis sends a frame once to each worker whose viewers ask for it: {bytes} times its bytes for 20 viewers. Without viewers
  it sends no frame.
- *Time.* From the event to a viewer that has the frame: {ms} ms, {time} times as long as with `Gallery` in one process.
- *Viewers.* 1,000 for each worker. {far}

**Access rules.** Two users are enough; `pictures` is the name of the gallery. arq needs a user of its own, or another server.

```text
ACL SETUSER producer on >secret1 -@all ~imgassemble:{{pictures}}:* ~imgassemble:pictures:frame:* +ping +hello +auth +time +eval +evalsha +script|load +get +set +getrange +exists +pexpire +del +hget +hset +hdel +hexists +hmget +hgetall +hkeys +incr +xadd +xrange +xrevrange +zadd +zrange +zrem +zscore
ACL SETUSER worker on >secret2 -@all %R~imgassemble:{{pictures}}:* %R~imgassemble:pictures:frame:* +ping +hello +auth +get +getrange +exists +time +hmget +hgetall +zrange +xrange +xrevrange +xread
```

A worker that calls `stop` needs `%RW~imgassemble:{{pictures}}:stream:* +eval +hset` as well, and `remove` the rights of a producer. A
worker without them hides the streams whose `keep_s` has passed; the next producer removes them. Content of Redis is untrusted: kinds, texts, numbers and
addresses of entries are checked, and frames by their length and SHA-256.

**TLS.** Use `rediss://user:password@host:6380/0`. The certificate is checked; `?ssl_ca_certs=/path/ca.pem` names your own authority.

**One server.** It may have replicas. A cluster of several nodes is refused: `UsageError` before an image is asked for.

**Memory policy.** Use `maxmemory-policy volatile-ttl`: frames alone have a time to live, so a full server removes old previews first. With
`noeviction`, new frames wait until there is room. Policies with `allkeys` remove facts and response ids: do not use them.

**Persistence.**

| Setting | Lost when Redis is killed |
|---|---|
| none (`save ""`) | everything; running producers send their streams again. If the producer is killed as well, its stream is asked for again |
| `appendonly yes` | the last second. An image is asked for again only if its producer is killed in the second after its response id came |
| `appendonly yes`, `appendfsync always` | nothing; each write waits for the disk |

## Why it is built like this

- **Redis Streams, not pub/sub.** A stream has ids, which are the `Last-Event-ID` of the page on each worker. With pub/sub, a worker that
  is disconnected for a moment misses changes and does not notice.
- **Frames are keys of their own, not parts of entries.** Otherwise each worker would receive each frame, with and without viewers. As
  keys they are sent once to the workers that need them, and previews can expire before results.
- **NATS or Postgres.** NATS limits a message to 1 MB in its standard configuration, and a payload of NOTIFY in Postgres has at most 8,000 bytes. With both,
  frames would need another store. Applications that have workers and jobs often run Redis already.
- **No queue of our own.** arq, Celery and others restart jobs. A producer needs to be called again, and no more.
"""

FIGURES = {
    "memory": "1.09",
    "bytes": "1.00",
    "ms": "25",
    "time": "1.1",
    "far": "10 workers with 1,000 viewers each have a result after 0.5 seconds, on two cores that do nothing else.",
}


def main() -> None:
    Path(__file__).with_suffix(".md").write_text(page())


def page() -> str:
    """Return the whole page."""
    programs = {name: (HERE / f"{name}.py").read_text() for name in ("app", "producer")}
    return TEXT.format(**programs, **FIGURES)


if __name__ == "__main__":
    main()
