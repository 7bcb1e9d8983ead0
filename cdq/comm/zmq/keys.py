"""Keys of a hub and of the workers that may join. A directory holds one's own pair and the public keys of others.

``own.public`` and ``own.secret`` are made by `keygen`; a worker's directory holds the hub's key as ``hub.public``,
the hub's directory those that may join as ``allowed/NAME.public``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cdq.errors import ConfigError

VARIABLE = "CDQ_KEYS"
DOMAIN = "cdq"
_KEY = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")  # Z85
_LONGEST = 4096  # bytes of a file that holds a key


def keygen(directory: str | Path, job: bool = False) -> Path:
    """Make a pair of keys in a directory, and return the path of the public one.

    Parameters
    ----------
    directory : str or Path
        Is made if need be, for its owner alone.
    job : bool
        True: one pair for all processes of a job, whose ranks know and allow each other by it.

    Raises
    ------
    ConfigError
        If there is a pair already, or *directory* is empty.
    OSError
        If the directory cannot be made or written to; nothing is left of the pair.
    """
    from cdq.comm.zmq.library import load

    if not str(directory):
        raise ConfigError("the directory of keys is ''; allowed: a path, as text or as a pathlib.Path")
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pair = dict(zip(("own.public", "own.secret"), load().curve_keypair(), strict=True))
    if job:
        (folder / "allowed").mkdir(mode=0o700, exist_ok=True)
        pair |= dict.fromkeys(("hub.public", "allowed/job.public"), pair["own.public"])
    written: list[Path] = []
    try:
        for name, key in sorted(pair.items(), reverse=True):  # the secret first: it is there where any is
            _write(folder / name, key.decode(), 0o600 if name == "own.secret" else 0o644)
            written.append(folder / name)
    except BaseException as error:  # half a pair would stand in the way of the next try
        for path in written:
            path.unlink()
        if job:
            with contextlib.suppress(OSError):  # keys were in there before
                (folder / "allowed").rmdir()
        if isinstance(error, FileExistsError):
            raise ConfigError(f"{error.filename} is there already; use another directory") from None
        raise
    return folder / "own.public"


def allow(directory: str | Path, public: str | Path, name: str) -> None:
    """Let the owner of a public key join the hub whose keys are in `directory`.

    Parameters
    ----------
    directory : str or Path
        Directory of the hub's keys.
    public : str or Path
        The file with the key.
    name : str
        Name of the key in the directory.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ConfigError(f"the name of a key is {name!r}; allowed are letters, digits, _ and -")
    key = read_key(Path(public))
    folder = Path(directory) / "allowed"
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        _write(folder / f"{name}.public", key.decode(), 0o644)
    except FileExistsError:
        raise ConfigError(f"{folder / name}.public is there already; use another name") from None


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file, wholly or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink()
        raise


def read_key(path: Path, follow: bool = True) -> bytes:
    """Return the key in a file; raise `ConfigError` if there is none.

    Parameters
    ----------
    path : Path
        A regular file of at most 4 kB.
    follow : bool
        False: refuse a link to such a file.
    """
    try:
        text = _read(path, os.O_RDONLY | (0 if follow else os.O_NOFOLLOW)).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{printable(path)} cannot be read: {_reason(error)}; cdq keygen makes keys"
        ) from None
    if not _KEY.fullmatch(text):
        raise ConfigError(f"{printable(path)} holds no key of 40 characters; cdq keygen makes keys")
    return text.encode()


def _read(path: Path, flags: int) -> bytes:
    """Return the content of a small file; anything else raises at once, also a file that would block or never end."""
    file = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no regular file")
        if found.st_size > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} bytes")
        if found.st_mode & stat.S_IWOTH:
            raise ValueError("everybody may write it (chmod o-w)")
        return os.read(file, _LONGEST)
    finally:
        os.close(file)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return "it is a link" if error.errno == errno.ELOOP else str(error.strerror)
    return "it is no text" if isinstance(error, UnicodeError) else str(error)


def printable(path: Path) -> str:
    """Return a path as it can be printed anywhere, on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def _is_private(found: os.stat_result, user: int) -> bool:
    """Return whether nobody but a user, and root, can read or write a file.

    A group may read one that is root's, where the user is not root: so Kubernetes gives a pod its secrets (fsGroup).
    """
    of_the_pod = found.st_uid == 0 and user != 0
    others = stat.S_IRWXO | (stat.S_IWGRP | stat.S_IXGRP if of_the_pod else stat.S_IRWXG)
    return not found.st_mode & others


class Allowed(NamedTuple):
    """Public keys that may join, and files that hold none.

    Parameters
    ----------
    keys : frozenset of bytes
        Public keys that may join.
    wrong : tuple of str
        Sentences about files that hold no key, or are no regular file, one for each.
    names : mapping of bytes to str
        Name of each key: that of its file, fit to be printed.
    """

    keys: frozenset[bytes]
    wrong: tuple[str, ...]
    names: Mapping[bytes, str]


class Keys:
    """A directory of keys.

    Parameters
    ----------
    directory : str or Path
        Directory with the files that the module describes.

    Raises
    ------
    ConfigError
        If the secret key is missing, or others may read it.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
        secret = self.directory / "own.secret"
        self._secret = read_key(secret)
        self.public = read_key(self.directory / "own.public")
        if not _is_private(secret.stat(), os.geteuid()):
            raise ConfigError(f"{secret}: others may read it; chmod 600 {secret}, or make new keys")

    @classmethod
    def find(cls) -> Keys:
        """Return the keys in the directory that the environment variable ``CDQ_KEYS`` names, ``~/.cdq`` by default."""
        return cls(os.environ.get(VARIABLE) or Path.home() / ".cdq")

    def require_job(self) -> None:
        """Raise `ConfigError` unless these are the keys of a whole job: hub and workers have the same pair."""
        same = read_key(self.directory / "hub.public") == self.public
        if not same or self.public not in self.allowed().keys:
            raise ConfigError(
                f"{self.directory} holds no keys of a whole job, one pair for all its processes; "
                "cdq keygen --job DIR makes them"
            )

    def __repr__(self) -> str:
        return f"Keys({str(self.directory)!r})"

    def allowed(self) -> Allowed:
        """Return the public keys that may join now, and a sentence for each file that holds none.

        Raises
        ------
        ConfigError
            If the directory cannot be read, or everybody may write there: nobody may join then.
        """
        folder, wrong = self.directory / "allowed", []
        names: dict[bytes, str] = {}
        try:
            with os.scandir(folder) as entries:
                paths = sorted(Path(entry.path) for entry in entries if entry.name.endswith(".public"))
            if folder.stat().st_mode & stat.S_IWOTH:
                raise ConfigError(f"{folder}: everybody may write there; chmod o-w {folder}")
        except FileNotFoundError:
            return Allowed(frozenset(), (), {})  # nobody has been allowed yet
        except OSError as error:
            raise ConfigError(
                f"{printable(folder)} cannot be read: {error.strerror}; nobody may join"
            ) from None
        for path in paths:
            try:
                names[read_key(path, follow=False)] = printable(Path(path.name.removesuffix(".public")))
            except ConfigError as error:
                wrong.append(str(error))
        return Allowed(frozenset(names), tuple(wrong), names)

    def be_client(self, socket: Any) -> None:
        """Let a socket speak to the hub whose key is known, and to no other."""
        socket.curve_serverkey = read_key(self.directory / "hub.public")
        socket.curve_publickey, socket.curve_secretkey = self.public, self._secret

    def be_server(self, socket: Any) -> None:
        """Let a socket speak to peers that a handler of `DOMAIN` lets in: where there is none, to nobody."""
        from cdq.comm.zmq.library import load

        socket.curve_server = True
        socket.curve_publickey, socket.curve_secretkey = self.public, self._secret
        socket.zap_domain = DOMAIN.encode()
        socket.setsockopt(load().ZAP_ENFORCE_DOMAIN, 1)
