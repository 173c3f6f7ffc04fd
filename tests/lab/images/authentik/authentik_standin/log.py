"""Log lines in JSON on standard error, as authentik writes them."""

import json
import sys
from datetime import datetime, timezone
from typing import Any


def log(level: str, event: str, **fields: Any) -> None:
    line = {"event": event, "level": level, "timestamp": datetime.now(timezone.utc).isoformat(), **fields}
    print(json.dumps(line), file=sys.stderr, flush=True)
