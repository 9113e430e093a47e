"""The producer's scripts, loaded once. They are in `lua/`; each file's header says what it takes and answers."""

from importlib.resources import files

from sluicegate.scripts import Script
from sluicegate.wire import Submission

_FOLDER = files("sluicegate") / "lua"

ENQUEUE = Script(_FOLDER, "enqueue", each=Submission._fields)
WATCH = Script(_FOLDER, "watch")
CANCEL = Script(_FOLDER, "cancel")
