"""The worker's scripts, loaded once. They are in `lua/`; each file's header says what it takes and answers."""

from importlib.resources import files

from sluicegate.scripts import Script
from sluicegate_worker.rows import BuryRow, ExchangeRow, RetryRow, SettleRow

_FOLDER = files("sluicegate_worker") / "lua"

APPLY = Script(_FOLDER, "apply")
LEASE = Script(_FOLDER, "lease")
PASS = Script(_FOLDER, "pass")
EXCHANGE = Script(_FOLDER, "exchange", each=ExchangeRow._fields)
SETTLE = Script(_FOLDER, "settle", each=SettleRow._fields)
RETRY = Script(_FOLDER, "retry", each=RetryRow._fields)
BURY = Script(_FOLDER, "bury", each=BuryRow._fields)
LEAVE = Script(_FOLDER, "leave")
SNAPSHOT = Script(_FOLDER, "snapshot")
PENDING = Script(_FOLDER, "pending")
GRAVEYARD = Script(_FOLDER, "graveyard")
