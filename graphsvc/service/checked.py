"""What is looked at before the service listens: that it may be reached only by whom it should be."""

from __future__ import annotations

import logging
from pathlib import Path

from graphsvc.config import ServiceSettings
from graphsvc.service.authentication import Authenticator, is_loopback
from graphsvc.service.headers import origins
from graphsvc.service.tls import context

logger = logging.getLogger("graphsvc.service")


def check(directory: Path, settings: ServiceSettings) -> None:
    """See that settings, keys and certificates are there and right.

    Raises:
        BadInput, Corrupt: one isn't.
    """
    Authenticator(directory, settings)
    origins(settings)
    if context(settings) is None and not is_loopback(settings.host):
        logger.warning("keys and texts travel unencrypted to %s, unless something before it speaks TLS", settings.host)
