COMPILER: str
HAS_CLONES: bool
DEBUG: bool

def uses_clones() -> bool: ...
