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
    "sphinx.ext.intersphinx",
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

# Inventories of other projects are kept here, as lists of the names that are used: building fetches nothing.
SITES = {
    "python": "https://docs.python.org/3",
    "numpy": "https://numpy.org/doc/stable",
    "gymnasium": "https://gymnasium.farama.org",
    "matplotlib": "https://matplotlib.org/stable",
    "pandas": "https://pandas.pydata.org/docs",
}
intersphinx_mapping = {name: (url, f"inventories/{name}.inv") for name, url in SITES.items()}

DOCUMENTED = ["cdq", "cdq.comm", "cdq.errors", "cdq.plot", "cdq.testing"]


def public_names(module: str) -> list[str]:
    """Return the names that a module offers."""
    members = vars(importlib.import_module(module))
    here = [name for name, value in members.items() if getattr(value, "__module__", "") == module]
    names = members.get("__all__", here)
    return [f"{module}.{name}" for name in names if not name.startswith("_")]


# Types of parameters and results are links: to the page of each public class, and to other projects.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    **{name.rpartition(".")[2]: name for module in DOCUMENTED for name in public_names(module)},
    **{name: f"numpy.{name}" for name in ("ndarray", "dtype")},
    "array": "numpy.ndarray",
    "arrays": "numpy.ndarray",
    "array_like": "numpy.ndarray",
    "array-like": "numpy.ndarray",
    "sequence": "collections.abc.Sequence",
    "gymnasium.Env": ":class:`gymnasium.Env`",
    "gymnasium.vector.VectorEnv": ":class:`gymnasium.vector.VectorEnv`",
    "matplotlib.axes.Axes": ":class:`matplotlib.axes.Axes`",
    "Axes": "matplotlib.axes.Axes",
    "DataFrame": "pandas.DataFrame",
    "callable": "collections.abc.Callable",
    "path": "os.PathLike",
    **{
        name: f":class:`{name}`" for name in ("bool", "bytes", "dict", "float", "int", "list", "str", "tuple")
    },
}


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
