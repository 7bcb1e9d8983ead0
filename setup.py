"""Computes the extensions and how they are built; everything else is in pyproject.toml.

CDQ_DEBUG=1 builds with bounds checks and debug information, CDQ_ANNOTATE=1 writes Cython's annotated HTML.
"""

import os
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG = os.environ.get("CDQ_DEBUG") == "1"
CORE = Path("cdq/core")
HEADERS = [path.as_posix() for pattern in ("*.pxd", "*.h") for path in sorted(CORE.rglob(pattern))]
SHARED = "cdq.core.cython_utility"  # Cython's own code for memoryviews, once instead of in each module

# -ffp-contract=off: a fused multiply-add changes the last bit of 14 % of the updates, and results
# must be the same bits on every machine. -fno-trapping-math lets loops compute both sides of a choice;
# no result changes. Without tables for unwinding, which no C of ours does, a wheel is 3 % smaller.
COMPILE_ARGS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
COMPILE_ARGS += ["-DCDQ_DEBUG=1", "-g"] if DEBUG else ["-g0", "-fno-asynchronous-unwind-tables"]
# -O3 vectorises the loops over lanes: 96 -> 111 million steps/s (FrozenLake8x8-v1, 64 lanes), over tasks, and over
# features; the loops over a row are written with vectors by hand. The loops over compiled environments enter
# loops.stepping, table.* and envs.envs in every step: with -Os they had 47 million steps/s for 60 (RiverSwim, hashed).
# Merging, whose loops over blocks are written with vectors by hand, takes up to a fifth longer with -O2.
# Elsewhere -O3 makes code longer, and not faster.
VECTORISED = {
    "merge.merge",
    "loops.rollout",
    "loops.stepping",
    "linear.linear",
    "table.hash",
    "table.wide",
    "table.qfunction",
    "envs.envs",
}
# Modules that wait for Python, go through a model once, or are entered once per window; and that of networks, whose
# loops are written with vectors by hand, and unrolled (a third smaller, an update of 256 samples 3 % slower).
SMALL = {
    "barrier",
    "build",
    "probe",
    "rounds",
    "turn",
    "envs.cells",
    "envs.encode",
    "loops.answers",
    "loops.parts",
}
# Loops over environments in Python are entered once a step: with -Os a step of one took 26 ns more than with -O2.
SMALL |= {"loops.gym_vector", "planning.matrices"}
SMALL |= {"cython_utility", "network.called", "network.network", "planning.graph", "planning.outcomes"}
# Without symbols, and without pages that are filled up around code: 8 kB a module. The linker of macOS knows neither.
LINK_ARGS = [] if DEBUG or sys.platform == "darwin" else ["-Wl,-s", "-Wl,-z,noseparate-code"]
DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "wraparound": False,
    "initializedcheck": DEBUG,
    "cdivision": True,
    "embedsignature": True,
    "embedsignature.format": "python",
    "auto_pickle": False,  # what holds state is kept by files; Python refuses the rest by itself
}


def extension(name: str, sources: list[str]) -> Extension:
    """Return a module of the core; without sources, the one that Cython writes itself."""
    inside = name.removeprefix("cdq.core.")
    level = "-O3" if inside in VECTORISED else "-Os" if inside in SMALL else "-O2"
    return Extension(
        name,
        sources,
        depends=HEADERS,
        include_dirs=[CORE.as_posix()],  # headers name each other from there
        extra_compile_args=[level, *COMPILE_ARGS],
        extra_link_args=LINK_ARGS,
    )


class BuildExtensions(build_ext):
    """Cython where something is compiled, and only there: metadata and source distributions need no C files."""

    def build_extensions(self) -> None:
        """Write the C files, and compile them side by side."""
        written = cythonize(
            list(self.extensions),
            compiler_directives=DIRECTIVES,
            build_dir=f"{self.build_temp}/cython",
            annotate=os.environ.get("CDQ_ANNOTATE") == "1",
            force=DEBUG,
            shared_utility_qualified_name=SHARED,
        )
        for extension, with_c_files in zip(self.extensions, written, strict=True):
            extension.sources = with_c_files.sources
        super().build_extensions()


modules = [
    extension(".".join(path.with_suffix("").parts), [path.as_posix()]) for path in sorted(CORE.rglob("*.pyx"))
]

with tempfile.TemporaryDirectory() as folder:
    # A wheel begins from nothing: no module of an older build gets into it, and nothing is left behind in a clone.
    # In place, release and debug builds stand apart, or the one would take up the modules of the other.
    in_place = "build/debug" if DEBUG else "build/release"
    setup(
        cmdclass={"build_ext": BuildExtensions},
        options={
            "build": {"build_base": folder if "bdist_wheel" in sys.argv else in_place},
            "build_ext": {"parallel": True},
        },
        ext_modules=[*modules, extension(SHARED, [])],
    )
