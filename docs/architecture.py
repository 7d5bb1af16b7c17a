"""Draw docs/architecture.svg, the way of the data, from the package's own imports: `python docs/architecture.py`.

An arrow leads from a folder to a folder that imports it. Imports that follow from others are left out. A test draws the
picture again and compares.
"""

import ast
from pathlib import Path

import imgassemble

PACKAGE = Path(imgassemble.__file__).parent
# Each row of boxes imports from the rows above it.
ROWS = (
    ("frames", "wire", "assembly"),
    ("storage", "streams", "screens"),
    ("simulator", "web", "cli"),
)
WIDTH, HEIGHT, GAP_X, GAP_Y = 210, 64, 60, 70  # pixels of a box, and between boxes


def folder_imports() -> dict[str, set[str]]:
    """Return for each folder of the package the folders that it imports."""
    found: dict[str, set[str]] = {}
    for name in (name for row in ROWS for name in row):
        found[name] = set()
        for path in (PACKAGE / name).rglob("*.py"):
            depth = len(path.relative_to(PACKAGE).parts)
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.level == depth:
                    targets = [node.module] if node.module else [alias.name for alias in node.names]
                    found[name] |= {target.partition(".")[0] for target in targets}
        found[name] &= {each for row in ROWS for each in row} - {name}
    return found


def direct_imports() -> dict[str, set[str]]:
    """Return `folder_imports` without those that another import brings along."""
    found = folder_imports()

    def reached(name: str) -> set[str]:
        return {each for target in found[name] for each in ({target} | reached(target))}

    return {
        name: {to for to in targets if not any(to in reached(via) for via in targets)}
        for name, targets in found.items()
    }


def description(name: str) -> str:
    """Return the first sentence of a folder's docstring, up to the colon."""
    text = " ".join((ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text())) or "").split())
    return text.partition(".")[0].partition(":")[0].partition(",")[0]


def drawing() -> str:
    """Return the picture as SVG."""
    places = {
        name: (20 + column * (WIDTH + GAP_X), 20 + row * (HEIGHT + GAP_Y))
        for row, names in enumerate(ROWS)
        for column, name in enumerate(names)
    }
    lines = []
    for name, targets in direct_imports().items():
        x, y = places[name]
        for target in sorted(targets):
            from_x, from_y = places[target]
            if from_y != y:
                shift = (from_x - x) // 12
                start, end = (from_x + WIDTH // 2 - shift, from_y + HEIGHT), (x + WIDTH // 2 + shift, y)
            elif from_x < x:
                start, end = (from_x + WIDTH, y + HEIGHT // 2), (x, y + HEIGHT // 2)
            else:
                start, end = (from_x, y + HEIGHT // 2), (x + WIDTH, y + HEIGHT // 2)
            middle = (
                f"Q{(start[0] + end[0]) // 2} {y + 2 * HEIGHT - 16} "
                if abs(start[0] - end[0]) > WIDTH and from_y == y
                else "L"
            )
            lines.append(f'<path d="M{start[0]} {start[1]} {middle}{end[0]} {end[1]}" class="arrow"/>')
    for name, (x, y) in places.items():
        lines.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="8"/>')
        lines.append(f'<text x="{x + WIDTH // 2}" y="{y + 26}" class="name">{name}/</text>')
        lines.append(f'<text x="{x + WIDTH // 2}" y="{y + 47}" class="about">{description(name)}</text>')
    width, height = 40 + 3 * WIDTH + 2 * GAP_X, 40 + 3 * HEIGHT + 2 * GAP_Y + 20
    style = (
        "rect{fill:#f6f8fa;stroke:#57606a}text{font-family:sans-serif;text-anchor:middle;fill:#1f2328}"
        ".name{font-size:16px;font-weight:600}.about{font-size:10px}"
        ".arrow{fill:none;stroke:#0969da;stroke-width:1.4;marker-end:url(#head);opacity:.65}"
    )
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#0969da"/></marker>'
    )
    body = "\n".join(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">\n'
        f'<rect width="100%" height="100%" style="fill:#fff;stroke:none"/>\n'
        f"<style>{style}</style>\n<defs>{head}</defs>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(drawing())
