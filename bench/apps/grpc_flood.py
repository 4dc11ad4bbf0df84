"""Asks one model over gRPC by callers that wait for their answers: `bench.overload.neighbours`.

python -m bench.apps.grpc_flood ADDRESS FILE CLIENTS SECONDS
"""

import asyncio
import sys
from pathlib import Path

import grpc

_METHOD = "/inference.GRPCInferenceService/ModelInfer"
_CHANNELS = 4


async def main(address: str, body: bytes, clients: int, seconds: float) -> None:
    """Ask for so long, whatever is answered."""
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + seconds
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(_CHANNELS)]

    async def ask(number: int) -> None:
        infer = channels[number % _CHANNELS].unary_unary(_METHOD)
        while loop.time() < ends_s:
            await infer(body).code()

    await asyncio.gather(*(ask(number) for number in range(clients)))
    for channel in channels:
        await channel.close()


asyncio.run(main(sys.argv[1], Path(sys.argv[2]).read_bytes(), int(sys.argv[3]), float(sys.argv[4])))
