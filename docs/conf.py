"""Sphinx configuration of the documentation: `nox -s docs`.

Sphinx with furo, since it reads the same Markdown as the READMEs and draws light and dark pages
without a network. Formulas are MathML, which browsers draw without a script.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
EXAMPLES = Path(__file__).parent / "examples"

project = "superposition"
author = "The superposition authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
suppress_warnings = ["myst.header"]

autodoc_typehints = "signature"
python_maximum_signature_line_length = 80
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_use_ivar = True  # attributes of dataclasses are not listed twice
napoleon_attr_annotations = False  # an annotation such as "*batch" is no markup
default_role = "code"

html_theme = "furo"
html_title = "superposition"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["wide.css"]


def render(translator: Any, node: nodes.Element) -> None:
    """Write a formula as MathML."""
    display = "inline" if isinstance(node, nodes.math) else "block"
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def write_examples(app: Sphinx) -> None:
    """Write the scripts of `examples/` as pages: text from their docstring and comments."""
    EXAMPLES.mkdir(exist_ok=True)
    for script in sorted((ROOT / "examples").glob("*.py")):
        (EXAMPLES / f"{script.stem}.md").write_text(page_of(script.read_text(), script.name))


def page_of(script: str, name: str) -> str:
    """Convert a script in cells to Markdown.

    The docstring is the introduction. A cell starts with `# %%`; the comment lines that follow it
    are its text, the rest is its code.
    """
    introduction, *cells = script.split("# %%\n")
    title, _, text = introduction.strip().strip('"').strip().partition("\n")
    parts = [f"# {title.rstrip('.')}", text.strip(), f"The whole script is `examples/{name}`."]
    for cell in cells:
        lines = cell.splitlines()
        count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
        parts.append("\n".join(line.removeprefix("# ") for line in lines[:count]))
        parts.append("```python\n" + "\n".join(lines[count:]).strip() + "\n```")
    for source in sorted((ROOT / "examples").glob("*.c")):
        if source.name in script:
            parts.append(f"`examples/{source.name}`:\n\n```c\n{source.read_text()}```")
    return "\n\n".join(filter(None, parts)) + "\n"


def escape_symbols(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Escape the mathematical signs | and * in docstrings, where they are no markup."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            parts = line.split("`")  # every second part is code
            parts[::2] = [re.sub(r"([|*])", r"\\\1", part) for part in parts[::2]]
            lines[i] = "`".join(parts)


def setup(app: Sphinx) -> None:
    """Register the renderer of formulas, the pages of the examples and the escapes."""
    app.add_html_math_renderer("mathml", (render, None), (render, None))
    app.connect("builder-inited", write_examples)
    app.connect("autodoc-process-docstring", escape_symbols, priority=100)
