"""The kind of a machine's processor: those of a kind run the same code about as fast a cycle."""

from __future__ import annotations

import platform
import re
from pathlib import Path

# Family: first models and last models of each kind, as the kernel of Linux groups them.
_AMD = {
    0x17: [(0x00, 0x2F, "Zen"), (0x50, 0x5F, "Zen"), (0x30, 0xAF, "Zen 2")],
    0x19: [(0x10, 0x1F, "Zen 4"), (0x60, 0xAF, "Zen 4"), (0x00, 0x5F, "Zen 3")],
    0x1A: [(0x50, 0x5F, "Zen 6"), (0x90, 0xCF, "Zen 6"), (0x00, 0x7F, "Zen 5")],
}
_INTEL = {
    0x3F: "Haswell",
    0x4F: "Broadwell",
    0x55: "Skylake",
    0x56: "Broadwell",
    0x6A: "Ice Lake",
    0x6C: "Ice Lake",
    0x8F: "Sapphire Rapids",
    0xAD: "Granite Rapids",
    0xAE: "Granite Rapids",
    0xCF: "Emerald Rapids",
}
_ARM = {
    0xD08: "Cortex-A72",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse N1",
    0xD40: "Neoverse V1",
    0xD49: "Neoverse N2",
    0xD4F: "Neoverse V2",
}
_ARM_LIMITED = 0x41


def kind_of(cpuinfo: str) -> str:
    """Return the kind of a processor by the text of /proc/cpuinfo; its plain name where the kind is not known."""
    told = dict(re.findall(r"(?m)^(.+?)\s*: (.*)$", cpuinfo.partition("\n\n")[0]))
    vendor, model = told.get("vendor_id", ""), int(told.get("model", "0"))
    if vendor == "AuthenticAMD":
        for first, last, kind in _AMD.get(int(told["cpu family"]), ()):
            if first <= model <= last:
                return f"AMD {kind}"
    if vendor == "GenuineIntel" and told["cpu family"] == "6" and model in _INTEL:
        return f"Intel {_INTEL[model]}"
    if "CPU part" in told:
        maker, part = int(told["CPU implementer"], 16), int(told["CPU part"], 16)
        known = maker == _ARM_LIMITED and part in _ARM
        return f"Arm {_ARM[part]}" if known else f"Arm {maker:#x} {part:#x}"
    return name_of(cpuinfo)


def name_of(cpuinfo: str) -> str:
    """Return the name that a processor gives itself, or that of its architecture."""
    named = re.search(r"(?m)^model name\s*: (.+)$", cpuinfo)
    return named[1].strip() if named else platform.processor() or platform.machine()


def cpuinfo() -> str:
    """Return what Linux says of the processors, or nothing on other systems."""
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8") if path.exists() else ""
