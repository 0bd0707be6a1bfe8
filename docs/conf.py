"""How Sphinx builds the site from these pages: ``make docs``.

The pages are plain Markdown, so that they read as well on a git host. What only a site needs is made while it
is built, by `pages`: the table of contents, the reference, copies of README and CHANGELOG.
"""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import pages  # noqa: E402  (found only once its folder is on the path)

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "bondwork"
author = "the authors of bondwork"
release = installed_version("bondwork")
version = release

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb", ".markdown": "myst-nb"}
exclude_patterns = ["**/.ipynb_checkpoints"]
root_doc = "index"
nitpicky = False
highlight_language = "none"

# --- Markdown and notebooks ---------------------------------------------------------------------------------

myst_heading_anchors = 4
# The notebooks hold their outputs, so that git hosts show them; tests/test_gallery.py runs them again.
nb_execution_mode = "off"
suppress_warnings = [
    "misc.highlighting_failure",  # JSON with an ellipsis in it is meant for people
]

# --- the reference ------------------------------------------------------------------------------------------

autodoc_typehints = "none"  # signatures have them in the source; docstrings say what they mean
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
default_role = "code"  # docstrings name parameters in single backticks, too

# --- how it looks -------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"bondwork {release}"
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#1f5fa8", "color-brand-content": "#1f5fa8"},
    "dark_css_variables": {"color-brand-primary": "#7fb3ea", "color-brand-content": "#7fb3ea"},
}


def _write_pages(app: Sphinx, _config: object) -> None:
    pages.write_generated(Path(app.srcdir))


def _adapt_page(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = pages.adapt(source[0], docname, Path(app.srcdir))


def setup(app: Sphinx) -> None:
    """Make what the pages need before they are read, and adapt each as it is read."""
    app.connect("config-inited", _write_pages)
    app.connect("source-read", _adapt_page)
