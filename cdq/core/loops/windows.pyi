class Windows:
    """A loop that learns a window without Python."""

    plain: bool

    def check(self) -> None: ...
