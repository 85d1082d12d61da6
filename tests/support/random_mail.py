"""Small random mails with conflicting stylesheets; the same seed gives the same mails."""

import random

_TAGS = ("p", "div", "span", "b", "a href='https://a.example'")
_NAMES = ("a", "b", "c", "d")
_VALUES = {
    "margin": ("0", "1px 2px", "7px", "auto", "3 px", "4%"),
    "margin-top": ("3px", "9px", "nope"),
    "margin-left": ("5px", "-2px", "calc(1px + 1%)"),
    "margin-inline": ("11px", "2px 6px"),
    "padding": ("0", "4px", "1px 2px 3px 4px"),
    "padding-left": ("6px", "inherit"),
    "color": ("red", "#123456", "#abc", "inherit", "nonsense", "var(--x)", "rgb(1, 2, 3)"),
    "background": ("#eee", "none", "url(data:,) no-repeat pink", "nope"),
    "background-color": ("#ff0000", "transparent", "initial"),
    "font": ("12px serif", "italic bold 20px/30px Arial", "large"),
    "font-size": ("13px", "150%", "2em", "10 px"),
    "line-height": ("20px", "1.5", "normal"),
    "font-weight": ("bold", "400", "bolder"),
    "border": ("1px solid red", "none", "3px dashed"),
    "border-top": ("2px dotted blue", "0"),
    "border-color": ("green", "#00f #0f0"),
    "border-left-width": ("8px", "thick"),
    "width": ("50px", "50%", "auto"),
    "inline-size": ("60px",),
    "display": ("none", "flexish"),  # only these: with * they would show the stylesheet itself
    "text-decoration": ("underline", "none", "line-through red"),
    "text-decoration-color": ("blue",),
    "white-space": ("nowrap", "pre"),
    "--x": ("teal", "maroon", ""),
    "COLOR": ("#777",),
}
_CONDITIONS = (
    "@media (max-width: 500px)", "@media (max-width: 500px)", "@media (prefers-color-scheme: dark)", "@media print",
    "@supports (display: grid)", "@media screen", "@media (min-width: 1px)", "@media nonsense and (",
)  # fmt: skip
_PSEUDO = (
    ":first-child",
    ":last-child",
    ":nth-child(2n+1)",
    ":not(.a)",
    ":not(#i)",
    ":only-of-type",
    ":root",
    ":empty",
)
_CHANGING = (":hover", ":link", "::before", ":focus", "::first-letter", ":is(.a, .b)", ":nonsense", ":where(.c)")
_MEDIA = (
    "",
    "",
    "",
    ' media="screen"',
    ' media="(max-width: 500px)"',
    ' media="print"',
    ' type="text/css"',
    ' media="ALL"',
)


class RandomMail:
    """A generator of random mails."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def write(self) -> str:
        """Write one mail."""
        sheets = "".join(self._sheet() for _ in range(self._random.choice((1, 1, 2, 3))))
        body = "".join(self._element(3) for _ in range(self._random.randint(2, 4)))
        begin = self._random.choice(('<body class="a">', "<body>"))
        return f"<!DOCTYPE html><html><head><title>x</title>{sheets}</head>{begin}{body}</body></html>"

    def _sheet(self) -> str:
        rules = [self._rule(3) for _ in range(self._random.randint(1, 6))]
        return f"<style{self._random.choice(_MEDIA)}>{' '.join(rules)}</style>"

    def _rule(self, depth: int) -> str:
        if depth > 1 and self._chance(0.25):
            inner = " ".join(self._rule(depth - 1) for _ in range(self._random.randint(1, 3)))
            return f"{self._random.choice(_CONDITIONS)} {{ {inner} }}"
        selectors = ", ".join(self._selector() for _ in range(self._random.choice((1, 1, 1, 2))))
        return f"{selectors} {{ {self._declarations(4)} }}"

    def _selector(self) -> str:
        parts = [self._compound() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        return "".join(part + self._random.choice((" ", " > ", " + ", " ~ ", " ")) for part in parts[:-1]) + parts[-1]

    def _compound(self) -> str:
        pick = self._random.random()
        if pick < 0.35:
            text = self._random.choice(("p", "div", "span", "b", "a", "*", "body", "P", "td", "tbody", "html"))
        elif pick < 0.7:
            text = self._random.choice(("", "p", "div")) + f".{self._random.choice((*_NAMES, 'zz'))}"
        elif pick < 0.8:
            text = f"#{self._random.choice('ij')}"
        else:
            text = self._random.choice(("[title]", "[title=x]", "p.a.b", ".a.b", "[data-ogsc]", "[class~=a]"))
        if self._chance(0.15):
            text += self._random.choice(_PSEUDO)
        return text + (self._random.choice(_CHANGING) if self._chance(0.07) else "")

    def _declarations(self, most: int) -> str:
        declarations = []
        for _ in range(self._random.randint(1, most)):
            name = self._random.choice((*_VALUES,))
            important = self._random.choice(("", "", "", " !important", "!IMPORTANT"))
            declarations.append(f"{name}: {self._random.choice(_VALUES[name])}{important}")
        return "; ".join(declarations)

    def _element(self, depth: int) -> str:
        if self._chance(0.1):
            return f"<table><tr><td{self._attributes()}>x</td></tr></table>"
        tag = self._random.choice(_TAGS)
        inner = "".join(self._element(depth - 1) for _ in range(self._random.randint(0, 2))) if depth else ""
        if tag == "p" or tag.startswith("a "):
            inner = "".join(f"<b{self._attributes()}>y</b>" for _ in range(self._random.randint(0, 1)))
        text = self._random.choice(("x", "", "x "))
        return f"<{tag}{self._attributes()}>{text}{inner}</{tag.partition(' ')[0]}>"

    def _attributes(self) -> str:
        attributes = ""
        if self._chance(0.6):
            names = self._random.sample(_NAMES, self._random.randint(1, 2))
            attributes += f' class="{" ".join(names)}"'
        if self._chance(0.15):
            attributes += f' id="{self._random.choice("ij")}"'
        if self._chance(0.15):
            attributes += ' title="x"'
        if self._chance(0.25):
            attributes += f' style="{self._declarations(3)}"'
        return attributes

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
