"""Check what a source distribution holds: every file that git knows, and nothing that was built."""

import subprocess
import sys
import tarfile
from pathlib import PurePosixPath

LEFT_OUT = {".gitignore", ".pre-commit-config.yaml"}  # and .github: they serve the repository alone
MADE = {"PKG-INFO", "setup.cfg"}

with tarfile.open(sys.argv[1]) as archive:
    paths = [PurePosixPath(member.name) for member in archive if member.isfile()]
held = {"/".join(path.parts[1:]) for path in paths}
files = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True, text=True).stdout.split(
    "\0"
)
known = {name for name in files if name and name not in LEFT_OUT and not name.startswith(".github/")}

assert not known - held, f"the source distribution lacks {sorted(known - held)}"
more = {name for name in held - known - MADE if not name.startswith("cdq.egg-info/")}
assert not more, f"the source distribution holds {sorted(more)}"
print(f"{len(held)} files")
