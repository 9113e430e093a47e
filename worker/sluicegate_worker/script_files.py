"""The worker's scripts, loaded once. They are in `lua/`; each file's header says what it takes and answers."""

from importlib.resources import files

from sluicegate.scripts import Script
from sluicegate_worker.rows import BuryRow, DropRow, ExchangeRow, RelayRow, RenewRow, RetryRow, SettleRow

_FOLDER = files("sluicegate_worker") / "lua"

APPLY = Script(_FOLDER, "apply")
LEASE = Script(_FOLDER, "lease")
PASS = Script(_FOLDER, "pass")
EXCHANGE = Script(_FOLDER, "exchange", each=ExchangeRow._fields)
RENEW = Script(_FOLDER, "renew", each=RenewRow._fields)
SETTLE = Script(_FOLDER, "settle", each=SettleRow._fields)
RETRY = Script(_FOLDER, "retry", each=RetryRow._fields)
BURY = Script(_FOLDER, "bury", each=BuryRow._fields)
RELAY = Script(_FOLDER, "relay", each=RelayRow._fields)
LEAVE = Script(_FOLDER, "leave")
SNAPSHOT = Script(_FOLDER, "snapshot")
PENDING = Script(_FOLDER, "pending")
GRAVEYARD = Script(_FOLDER, "graveyard")
SHOW = Script(_FOLDER, "show")
REPLAY = Script(_FOLDER, "replay")
DROP = Script(_FOLDER, "drop", each=DropRow._fields)
HOLD = Script(_FOLDER, "hold")
RETRY_NOW = Script(_FOLDER, "retry_now")
SURVEY = Script(_FOLDER, "survey")
PUT_ASIDE = Script(_FOLDER, "put_aside")
FORGET = Script(_FOLDER, "forget")
RESTORE = Script(_FOLDER, "restore")
RECOUNT = Script(_FOLDER, "recount")
