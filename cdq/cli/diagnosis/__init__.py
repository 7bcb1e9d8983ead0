"""Diagnosis of an installation: facts about it and the machine, and a merge by every backend.

MPI is never initialised in this process, which it could hang or end: questions to it are asked in processes of their
own, with a deadline.
"""

from cdq.cli.diagnosis.installation import facts
from cdq.cli.diagnosis.trial import Check, checks

__all__ = ["Check", "checks", "facts"]
