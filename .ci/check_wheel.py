"""Check what a wheel holds: compiled modules, what others compile against, types; no .pyx, no .c."""

import sys
import zipfile
from pathlib import PurePosixPath

names = [PurePosixPath(name) for name in zipfile.ZipFile(sys.argv[1]).namelist()]
core = [name for name in names if PurePosixPath("cdq/core") in name.parents]
suffixes = {name.suffix for name in core}

assert suffixes == {".so", ".pxd", ".pyi", ".h", ".py"}, f"cdq/core holds {sorted(suffixes)}"
compiled = {name.parent / name.name.split(".")[0] for name in core if name.suffix == ".so"}
stubs = {name.with_suffix("") for name in core if name.suffix == ".pyi"}
assert compiled == stubs, f"modules without a stub, or stubs without a module: {compiled ^ stubs}"
assert PurePosixPath("cdq/py.typed") in names, "py.typed is missing"
assert not [name for name in names if name.suffix in {".c", ".pyx"}], (
    "sources of compiled modules are in the wheel"
)
top = {name.parts[0] for name in names}
assert all(part == "cdq" or part.endswith(".dist-info") for part in top), f"the wheel installs {sorted(top)}"
print(f"{len(names)} files, {len(compiled)} compiled modules")
