"""cdq keygen and cdq keys: a hub's own key, and the keys that may join it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cdq.cli.parameters import argument, option
from cdq.errors import ConfigError

Directory = Annotated[Path, argument(metavar="DIR", help="Is made, for its owner alone.")]
HubDirectory = Annotated[Path, argument(metavar="DIR", help="The hub's keys, made by cdq keygen.")]
Job = Annotated[bool, option("--job", help="One pair for all processes of a job.")]
Public = Annotated[Path, argument(metavar="PATH", help="The own.public of who may join.")]
Name = Annotated[
    str | None,
    option(metavar="NAME", help="What the key is called there.", show_default="after its directory or file"),
]


def keygen(directory: Directory, *, job: Job = False) -> None:
    """Make a pair of keys, for a hub or for a worker: own.public, to be handed on, and own.secret.

    With --job one pair is for all processes that torchrun, Kubernetes or AWS
    Batch starts: bring the directory to all, and set CDQ_KEYS to it.

    [bold]Examples[/bold]

    cdq keygen keys/hub
    cdq keygen keys/worker
    cp keys/hub/own.public keys/worker/hub.public
    cdq keys allow keys/hub keys/worker/own.public
    cdq keygen --job keys/job
    """
    from cdq.comm.zmq import keys

    try:
        public = keys.keygen(directory, job)
    except OSError as error:
        raise ConfigError(
            f"cannot make {directory}: {error.strerror}; name a directory of your own"
        ) from None
    if job:
        print(f"{directory} is for the processes of the job alone: CDQ_KEYS={directory}")
        return
    print(f"{public} may be handed on; {public.with_suffix('.secret')} may not")


def allow(directory: HubDirectory, public: Public, *, name: Name = None) -> None:
    """Let the owner of a key join the hub, within a second if it runs; to take that back, remove the file.

    [bold]Example[/bold]

    cdq keys allow keys/hub keys/worker/own.public --name worker-1
    """
    from cdq.comm.zmq import keys

    if not (directory / "own.public").is_file():
        raise ConfigError(f"{directory} holds no keys of a hub; make them: cdq keygen {directory}")
    if name is None:
        name = public.absolute().parent.name if public.stem == "own" else public.stem
    try:
        keys.allow(directory, public, name)
    except OSError as error:
        raise ConfigError(f"cannot write to {directory}: {error.strerror}") from None
    print(f"{directory / 'allowed' / name}.public may join")
