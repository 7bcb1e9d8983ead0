"""Sphinx configuration. The build fails on warnings, and warns of public names that no page documents."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

import cdq

project = "cdq"
author = "the cdq authors"
copyright = author
version = release = cdq.__version__

sys.path.insert(0, str(Path(__file__).parent))
extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "mathml",
    "notebooks",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"cdq {release}"
html_show_sphinx = False
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]

autodoc_typehints = "none"  # the docstrings say types, shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
nitpick_ignore = [("py:mod", "cdq.testing.cases")]  # for readers of the source

myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3

DOCUMENTED = ["cdq", "cdq.comm", "cdq.errors", "cdq.plot", "cdq.testing"]


def public_names(module: str) -> list[str]:
    """Return the names that a module offers."""
    members = vars(importlib.import_module(module))
    here = [name for name, value in members.items() if getattr(value, "__module__", "") == module]
    names = members.get("__all__", here)
    return [f"{module}.{name}" for name in names if not name.startswith("_")]


def check_coverage(app: Sphinx, _: object) -> None:
    """Warn of public names that have no entry."""
    known = {name for name, *_ in app.env.get_domain("py").get_objects()}
    for module in DOCUMENTED:
        for name in public_names(module):
            is_text = isinstance(getattr(importlib.import_module(module), name.rpartition(".")[2]), int)
            if name not in known and not is_text:
                logging.getLogger(__name__).warning("public name without documentation: %s", name)


def setup(app: Sphinx) -> None:
    """Connect the check."""
    app.connect("env-check-consistency", check_coverage)
