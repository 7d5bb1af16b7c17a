"""Draw the film and the sheet of docs/films.md from a simulated stream: `python docs/films.py`."""

from pathlib import Path

from imgassemble import assemble, film
from imgassemble.simulator import Order, play

DOCS = Path(__file__).parent
ORDER = Order(prompt="an otter on a lake at dusk", size=(384, 256))


def main() -> None:
    result = assemble(play(ORDER).body)
    film.save_films(result, DOCS / "film.webp", overwrite=True)
    film.save_sheet(result, DOCS / "sheet.webp", size=192, overwrite=True)


if __name__ == "__main__":
    main()
