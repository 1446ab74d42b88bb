"""Exit codes of OCF resource agents (OCF resource agent API 1.1, section "Exit status codes").

190 and 191 are Pacemaker's extension: the service runs, but what it leans on is reduced. Plain integers, because
``enum`` would cost every monitor three milliseconds.
"""

from __future__ import annotations

SUCCESS = 0
ERR_GENERIC = 1
ERR_ARGS = 2
ERR_UNIMPLEMENTED = 3
ERR_PERM = 4
ERR_INSTALLED = 5
ERR_CONFIGURED = 6
NOT_RUNNING = 7
RUNNING_PROMOTED = 8
FAILED_PROMOTED = 9
DEGRADED = 190
DEGRADED_PROMOTED = 191
