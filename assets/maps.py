"""Draws the map of the model once for each notebook, with that notebook's part marked.

Run it after a change: ``python assets/maps.py`` writes ``map-01.svg`` … beside this file.
"""

from pathlib import Path

BLUE, ORANGE, GREY, INK = "#0072B2", "#E69F00", "#8A8F98", "#1F2328"
PLAIN, MARKED = "#F1F3F5", "#FCE7C3"

# part: x, y, width, height, lines of text, a smaller line beneath
BOXES = {
    "text": (12, 44, 74, 48, ["text"], ""),
    "tokenizer": (106, 44, 96, 48, ["tokenizer"], ""),
    "embeddings": (222, 44, 104, 48, ["embeddings"], "token + position"),
    "stack": (346, 44, 104, 48, ["12 × block"], ""),
    "final LayerNorm": (470, 44, 92, 48, ["LayerNorm"], ""),
    "head": (582, 44, 58, 48, ["head"], ""),
    "next token": (660, 44, 50, 48, ["next", "token"], ""),
    "first LayerNorm": (234, 150, 92, 34, ["LayerNorm"], ""),
    "attention": (340, 150, 84, 34, ["attention"], ""),
    "second LayerNorm": (476, 150, 92, 34, ["LayerNorm"], ""),
    "MLP": (582, 150, 52, 34, ["MLP"], ""),
    "windows": (106, 268, 130, 44, ["windows x, y"], "y is x, one later"),
    "optimizer": (330, 268, 150, 44, ["optimizer"], "adjusts the parameters"),
    "loss": (582, 268, 108, 44, ["loss"], "surprise, in nats"),
}
ADDITIONS = {"first addition": 444, "second addition": 654}  # x on the residual stream, y 214

# notebook: the parts marked, and the sentence that says so
MAPS = {
    "01": ({"tokenizer"}, "The tokenizer, at the start, is marked: it turns text into token ids."),
    "02": (
        {"attention"},
        "Attention, inside the block, is marked: the only part in which positions exchange "
        "information.",
    ),
    "03": (
        {
            "block",
            "first LayerNorm",
            "first addition",
            "second LayerNorm",
            "MLP",
            "second addition",
        },
        "The block around attention is marked: two LayerNorms, the MLP, and the two additions to "
        "the residual stream.",
    ),
    "04": (
        {"embeddings", "stack", "final LayerNorm", "head", "next token"},
        "Everything around the blocks is marked: embeddings, the stack of 12, the final "
        "LayerNorm, the head and the sampler.",
    ),
    "05": (
        {"windows", "loss", "optimizer"},
        "The training loop below the model is marked: windows of text, the loss, and the "
        "optimizer that adjusts the parameters.",
    ),
    "06": (
        {"text", "windows", "optimizer"},
        "Text, windows and optimizer are marked: text that stays on the disk, windows read from "
        "it, and a loop that can stop and go on.",
    ),
    "07": (
        {"text", "tokenizer", "loss"},
        "Text, tokenizer and loss are marked: rows of another language, a vocabulary made for it, "
        "and a loss that compares two vocabularies.",
    ),
    "08": (
        {
            "embeddings",
            "final LayerNorm",
            "head",
            "first LayerNorm",
            "attention",
            "second LayerNorm",
            "MLP",
        },
        "Every part with parameters is marked: embeddings, attention, MLP, the LayerNorms and the "
        "head. Their numbers come from a file.",
    ),
    "09": (
        {"optimizer"},
        "The optimizer is marked: what reaches it, the gradient, is measured, and how long the "
        "whole loop takes.",
    ),
}
FLOW = (
    "Data flows from left to right: text, tokenizer, embeddings, twelve blocks, a final "
    "LayerNorm, the head, the next token. Below, one block opened: LayerNorm, attention, "
    "addition, LayerNorm, MLP, addition. At the bottom the training loop: windows of ids give the "
    "embeddings their inputs and the loss its targets; the optimizer adjusts the parameters."
)
SOLID = [
    *[f"M{x} 68 L{x + 18} 68" for x in (86, 202, 326, 450, 562, 640)],
    "M160 214 L684 214",  # the residual stream
    "M216 214 L216 167 L232 167", "M326 167 L338 167", "M424 167 L444 167 L444 201",
    "M464 214 L464 167 L474 167", "M568 167 L580 167", "M634 167 L654 167 L654 201",
    "M582 290 L482 290",
]  # fmt: skip
DASHED = [
    "M650 70 L650 108 L704 108 L704 290 L692 290",  # logits to the loss
    "M405 268 L405 241",
    "M212 70 L212 112 L126 112 L126 266",  # ids to the windows
    "M106 290 L94 290 L94 102 L274 102 L274 94",  # windows to the model
    "M236 302 L262 302 L262 324 L636 324 L636 314",
]
LABELS = [  # x, y, anchor, text
    (212, 34, "middle", "ids (B, T)"),
    (336, 34, "middle", "(B, T, C)"),
    (650, 34, "middle", "logits (B, T, V)"),
    (164, 232, "start", "residual stream"),
    (414, 258, "start", "to every parameter"),
    (88, 194, "end", "inputs x"),
    (440, 340, "middle", "targets y"),
]


def words(x: float, y: float, text: str, size: float, anchor: str = "middle", color: str = INK,
          weight: str = "normal") -> str:  # fmt: skip
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size:g}" '
        f'font-weight="{weight}" fill="{color}">{text}</text>'
    )


def frame(marked: bool) -> str:
    return f'stroke="{ORANGE if marked else GREY}" stroke-width="{3 if marked else 1.2}"'


def box(name: str, marked: bool) -> list[str]:
    x, y, width, height, lines, beneath = BOXES[name]
    center, first = x + width / 2, y + height / 2 + 5 - 9 * (len(lines) - 1) - (8 if beneath else 0)
    weight = "bold" if marked and "LayerNorm" not in name else "normal"  # bold would not fit
    return [
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" '
        f'fill="{MARKED if marked else PLAIN}" {frame(marked)}/>',
        *[words(center, first + 18 * i, line, 14, weight=weight) for i, line in enumerate(lines)],
        *([words(center, first + 17, beneath, 11.5)] if beneath else []),
    ]


def addition(x: int, marked: bool) -> list[str]:
    fill = MARKED if marked else PLAIN
    return [f'<circle cx="{x}" cy="214" r="11" fill="{fill}" {frame(marked)}/>',
            words(x, 219, "+", 16)]  # fmt: skip


def draw(marked: set[str]) -> list[str]:
    arrow = f'fill="none" stroke="{INK}" stroke-width="1.6" marker-end="url(#tip)"'
    shapes = [f'<path d="M346 92 L150 128 M450 92 L690 128" stroke="{GREY}" '
              'stroke-dasharray="3 3" fill="none"/>',
              '<rect x="150" y="128" width="540" height="110" rx="8" fill="#FFFFFF" '
              f'{frame("block" in marked)}/>',
              words(162, 147, "one block", 13, "start")]  # fmt: skip
    shapes += [f'<path d="{path}" {arrow}/>' for path in SOLID]
    shapes += [f'<path d="{path}" {arrow} stroke-dasharray="5 4"/>' for path in DASHED]
    for x in (212, 336, 650):
        shapes.append(f'<path d="M{x} 38 L{x} 62" stroke="{BLUE}" stroke-width="0.8"/>')
    shapes += [words(x, y, text, 12, anchor, BLUE) for x, y, anchor, text in LABELS]
    for name in BOXES:
        shapes += box(name, name in marked)
    for name, x in ADDITIONS.items():
        shapes += addition(x, name in marked)
    return shapes


for number, (parts, sentence) in MAPS.items():
    svg = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 350" width="720" \
height="350" role="img" style="max-width:100%;height:auto" \
font-family="DejaVu Sans, Arial, sans-serif">
<title>The map of the model, for notebook {number}</title>
<desc>{FLOW} {sentence}</desc>
<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>
<rect width="720" height="350" fill="#FFFFFF"/>
"""
    svg += "\n".join(draw(parts)) + "\n</svg>\n"
    (Path(__file__).parent / f"map-{number}.svg").write_text(svg, encoding="utf-8")
