"""HTTPS, as the settings say."""

from __future__ import annotations

import ssl

from graphsvc.config import ServiceSettings, secret, whole_path
from graphsvc.errors import BadInput

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def context(settings: ServiceSettings) -> ssl.SSLContext | None:
    """What connections are secured with; None where they aren't.

    Raises:
        BadInput: the certificate or its key is missing, can't be read, or doesn't fit the other.
    """
    if not settings.tls_cert_file and not settings.tls_key_file:
        return None
    for name in ("tls_cert_file", "tls_key_file"):
        if not getattr(settings, name):
            raise BadInput("is missing: a certificate and its key go together", where=name)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = VERSIONS[settings.tls_minimum]
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    # Without a password that is asked here, OpenSSL would ask at the terminal, and wait.
    password = secret(settings, "tls_key_password")
    certificate, key = (whole_path(getattr(settings, name), name) for name in ("tls_cert_file", "tls_key_file"))
    try:
        made.load_cert_chain(certificate, key, password=lambda: password)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "wrong password"
        raise BadInput(f"can't be used ({reason})", where="tls_cert_file, tls_key_file") from None
    return made
