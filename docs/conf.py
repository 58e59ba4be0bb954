"""Sphinx configuration: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""

import filecmp
import os
import shutil
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # document this copy, not another one that happens to be installed


def copy_tutorials(source: Path, target: Path) -> None:
    """Bring `target` up to date with `source`, leaving `target/index.md` alone.

    Sphinx reads only what lies under docs/, but tutorials/ belongs at the top of the repository, where
    readers look for it. Files that have not changed are not touched, so that a second build skips them.
    """
    skipped = {"__pycache__", ".ipynb_checkpoints", "index.md", "README.md"}
    wanted = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and not skipped.intersection(path.relative_to(source).parts)
    }
    for path in target.rglob("*"):
        if path.is_file() and path.relative_to(target) not in wanted | {Path("index.md")}:
            path.unlink()
    for name in wanted:
        old = target / name
        if not old.exists() or not filecmp.cmp(source / name, old, shallow=False):
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, old)


copy_tutorials(ROOT / "tutorials", HERE / "tutorials")
# pages run in a folder of their own, and import the experiments from runs/, which lies beside them
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE / "tutorials"), os.environ.get("PYTHONPATH")]))

# dynet.zoo, dynet.networks and dynet.theory are attributes of dynet that live in dynet/systems/. autodoc looks
# documented objects up by the name of a module, so it has to find them under their public names.
import dynet  # noqa: E402

for public in ("zoo", "networks", "theory"):
    sys.modules.setdefault(f"dynet.{public}", getattr(dynet, public))

project = "dynet"
author = "The dynet developers"
copyright = "2026, The dynet developers"
release = installed_version("dynet-analysis")
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_nb",
    "sphinxcontrib.bibtex",
    "sphinx_design",
]
# No intersphinx: it fetches the inventories of other projects at build time, the build must work without a
# network, and under -W one inventory that cannot be fetched fails the whole build.

templates_path = ["_templates"]
exclude_patterns = ["_build", "**/.ipynb_checkpoints", "**/__pycache__"]

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters section says it, with shapes
numpydoc_show_class_members = False  # the class template lists them

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# "force", not "cache": a cache keys on the text of a notebook, and would go on showing the numbers of an
# older dynet after the code has changed.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"

html_theme = "pydata_sphinx_theme"
html_title = f"dynet {release}"
html_show_sourcelink = False
html_sidebars = {"reproductions": []}  # its tables need the width
html_theme_options = {"navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
