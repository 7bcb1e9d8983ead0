class Windows:
    """A loop that learns a window without Python."""
