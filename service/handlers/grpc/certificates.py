"""The certificate of HTTP for gRPC as well, as it is at each handshake."""

from typing import Any

import grpc

from service.wire.certificates import Certificates, Pair


def credentials_of(certificates: Certificates) -> Any:
    """Return credentials that a new connection finds as they are by then."""
    given = certificates.current

    def fetch() -> Any:
        # In a thread of the library's, for each handshake: None for the pair that it has.
        nonlocal given
        if certificates.current is given:
            return None
        given = certificates.current
        return _configuration(given)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(given), fetch, require_client_authentication=False
    )


def _configuration(pair: Pair) -> Any:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.chain)])
