"""Check what a wheel holds: compiled modules, what others compile against, types; no .pyx, no .c, no symbols."""

import sys
import zipfile
from pathlib import Path, PurePosixPath

LARGEST_WHEEL, LARGEST_INSTALLED = 2_320_000, 5_470_000  # bytes

wheel = zipfile.ZipFile(sys.argv[1])
names = [PurePosixPath(name) for name in wheel.namelist() if not name.endswith("/")]
core = [name for name in names if PurePosixPath("cdq/core") in name.parents]
suffixes = {name.suffix for name in core}

assert suffixes == {".so", ".pxd", ".pyi", ".h", ".py"}, f"cdq/core holds {sorted(suffixes)}"
compiled = {name.parent / name.name.split(".")[0] for name in core if name.suffix == ".so"}
stubs = {name.with_suffix("") for name in core if name.suffix == ".pyi"}
assert compiled == stubs, f"modules without a stub, or stubs without a module: {compiled ^ stubs}"
assert PurePosixPath("cdq/py.typed") in names, "py.typed is missing"
assert PurePosixPath("cdq/cli/watching/page.html") in names, "the page of cdq watch is missing"
assert not [name for name in names if name.suffix in {".c", ".pyx"}], (
    "sources of compiled modules are in the wheel"
)
headers = {name.name for name in core if name.suffix in {".h", ".pxd"}}
assert headers == {"lane.h", "lane.pxd", "__init__.pxd"}, (
    f"headers that nobody compiles against: {sorted(headers)}"
)
top = {name.parts[0] for name in names}
assert all(part == "cdq" or part.endswith(".dist-info") for part in top), f"the wheel installs {sorted(top)}"
modules = {name: wheel.read(str(name)) for name in core if name.suffix == ".so"}
debug = [str(name) for name, data in modules.items() if b".debug_info" in data or b".symtab" in data]
assert not debug, f"modules with symbols or debug information: {debug}"
size, installed = Path(sys.argv[1]).stat().st_size, sum(info.file_size for info in wheel.infolist())
assert size <= LARGEST_WHEEL, f"the wheel takes {size:,} bytes; at most: {LARGEST_WHEEL:,}"
assert installed <= LARGEST_INSTALLED, (
    f"installed, it takes {installed:,} bytes; at most: {LARGEST_INSTALLED:,}"
)
print(f"{size:,} bytes, installed {installed:,}; {len(names)} files, {len(compiled)} compiled modules")
