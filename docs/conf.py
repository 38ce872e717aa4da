"""Settings of the site, which is built without a network."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from numpydoc.xref import DEFAULT_LINKS
from sphinx.ext.intersphinx import InventoryAdapter

from fairmi import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from inventories import write_inventories  # noqa: E402

# A fit runs on one thread; so does what the examples do beside it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"  # no bars of progress in the pages

project = "fairmi"
author = "fairmi developers"
copyright = "fairmi developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
root_doc = "index"
exclude_patterns = ["_build", "_templates", "api/class.rst", "gallery/*.ipynb", "gallery/*.py"]
templates_path = ["_templates"]
suppress_warnings = [
    "ref.citation",  # a source that no sentence of a docstring points to
    "config.cache",  # sphinx-gallery's settings hold functions
]

myst_enable_extensions = ["colon_fence", "dollarmath", "substitution"]
myst_substitutions = {"version": version}
myst_heading_anchors = 3

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
# Types of parameters link to their pages; of other words none is taken for a type.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
DEFAULT_LINKS.clear()  # they name glossaries that our inventories don't have
numpydoc_xref_aliases = {
    "DataFrame": "pandas.DataFrame",
    "Series": "pandas.Series",
    "ndarray": "numpy.ndarray",
    "Bunch": "sklearn.utils.Bunch",
    "Module": "torch.nn.Module",
}
default_role = "py:obj"
intersphinx_mapping = write_inventories(HERE / "_build" / "inventories")

EXAMPLES = [
    "plot_frontier.py",
    "plot_debias_your_model.py",
    "plot_audit.py",
    "plot_leakage.py",
    "plot_training.py",
    "plot_search.py",
    "plot_several_attributes.py",
    "plot_continuous_age.py",
    "plot_regression.py",
    "plot_streaming.py",
    "plot_own_penalty.py",
    "plot_biased_images.py",
    "plot_compare_adult.py",
]


def in_order(name: str) -> int:
    """Return the place of an example in the gallery; one that is not listed comes last."""
    return EXAMPLES.index(name) if name in EXAMPLES else len(EXAMPLES)


sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"/(?!plot_)[^/]*\.py$",
    "within_subsection_order": in_order,
    # Which examples use a name: shown on its page of the API.
    "backreferences_dir": "api/backreferences",
    "doc_module": ("fairmi",),
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "matplotlib_animations": False,
    "abort_on_example_error": True,
    "min_reported_time": 1,
    "remove_config_comments": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "fairmi"
html_favicon = "_static/logo.svg"
html_static_path = ["_static"]
html_css_files = ["fairmi.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {
    "index": [],
    "getting_started": [],
    "ten_minutes": [],
    "faq": [],
    "changelog": [],
    "contributing": [],
}
html_theme_options = {
    "logo": {
        "text": "fairmi",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
    },
    "github_url": "https://github.com/fairmi/fairmi",
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 3,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def without_labels(*arguments: Any) -> None:
    """Take out links into scikit-learn's own guide, which docstrings inherited from it have."""
    lines = arguments[-1]
    lines[:] = [re.sub(r":ref:`([^<`]+) <[^>`]+>`", r"\1", line) for line in lines]


def link_names(app: Any, doctree: Any, page: str) -> None:
    """Make a link of each name in `code` that has a page, ours or in an inventory.

    The last part of a name will do, such as `GridSearchCV`, as pages write it.
    """
    places: dict[str, str] = {}
    for kind, items in InventoryAdapter(app.env).main_inventory.items():
        if kind.startswith("py:"):
            places |= {name: item.uri for name, item in items.items()}
    for name, entry in app.env.domains["py"].objects.items():
        if entry.objtype in ("class", "function", "exception"):
            places[name] = f"{app.builder.get_relative_uri(page, entry.docname)}#{entry.node_id}"
    by_last = {name.rpartition(".")[2]: place for name, place in places.items()}
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext().removesuffix("()")
        place = places.get(name) or by_last.get(name)
        inside = isinstance(literal.parent, nodes.reference | nodes.title)
        if place is None or inside or place.startswith("#"):
            continue
        link = nodes.reference("", "", internal=not place.startswith("http"), refuri=place)
        literal.replace_self(link)
        link += literal


def setup(app: Any) -> None:
    """Register what is done to docstrings and pages."""
    app.connect("autodoc-process-docstring", without_labels)
    app.connect("doctree-resolved", link_names)
