"""Computes the extensions; everything else is in pyproject.toml.

CDQ_DEBUG=1 builds with bounds checks, CDQ_ANNOTATE=1 writes Cython's annotated HTML.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("CDQ_DEBUG") == "1"
CORE = Path("cdq/core")
HEADERS = [path.as_posix() for pattern in ("*.pxd", "*.h") for path in sorted(CORE.rglob(pattern))]

# -ffp-contract=off: a fused multiply-add changes the last bit of 14 % of the updates, and results
# must be the same bits on every machine. -O3 vectorises the loops over lanes: 96 -> 111 million steps/s
# (FrozenLake8x8-v1, 64 lanes); the loops over a row are written with vectors by hand.
# -fno-trapping-math lets them compute both sides of a choice; no result changes.
COMPILE_ARGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
if DEBUG:
    COMPILE_ARGS += ["-DCDQ_DEBUG=1", "-g"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "python",
}

extensions = [
    # The .pyx in depends: cythonize(build_dir=...) would otherwise leave it out of the sdist.
    Extension(
        ".".join(path.with_suffix("").parts),
        [path.as_posix()],
        depends=[path.as_posix(), *HEADERS],
        include_dirs=[CORE.as_posix()],  # headers name each other from there
        extra_compile_args=COMPILE_ARGS,
    )
    for path in sorted(CORE.rglob("*.pyx"))
]

setup(
    # Apart, or a release build would take up the modules that a debug build left.
    options={"build": {"build_base": "build/debug" if DEBUG else "build/release"}},
    ext_modules=cythonize(
        extensions,
        compiler_directives=DIRECTIVES,
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        annotate=os.environ.get("CDQ_ANNOTATE") == "1",
        force=DEBUG,
    ),
)
