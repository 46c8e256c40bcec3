"""How the site is built: `python -m sphinx -W --keep-going docs docs/build`, with the extra `docs` installed."""

import re
from importlib.metadata import version as find_version
from typing import Any

project = "microrun"
author = "the microrun developers"
version = release = find_version("microrun")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
exclude_patterns = ["build"]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
root_doc = "index"

html_theme = "pydata_sphinx_theme"
html_title = f"microrun {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_nav_level": 1,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
copyright = "the microrun developers, BSD-3-Clause"
pygments_style = "friendly"

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autosummary_generate = True
python_maximum_signature_line_length = 88
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

SECTIONS = ("index", "start", "scans", "volumes", "printing", "reference")
LISTED = re.compile(r"^- \[[^\]]+\]\(([\w-]+)\.(?:md|rst)\)", re.MULTILINE)


def add_toctree(app: Any, docname: str, source: list[str]) -> None:
    """Make the list of links of a section its table of contents, so that GitHub and the site show one list."""
    if docname in SECTIONS:
        names = "\n".join(LISTED.findall(source[0]))
        source[0] += f"\n\n```{{toctree}}\n:hidden:\n\n{names}\n```\n"


def setup(app: Any) -> None:
    """Connect what this file adds to Sphinx."""
    app.connect("source-read", add_toctree)
