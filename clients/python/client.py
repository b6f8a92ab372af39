"""Follows a call of the mesh: client.py watch CALL_ID.

RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.
"""

import os
import pathlib
import sys
import time

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent / "gen"))
from voice.relay.v1 import call_pb2, relay_service_pb2, relay_service_pb2_grpc

TOKEN = os.environ.get("API_TOKEN")
METADATA = [("authorization", f"Bearer {TOKEN}")] if TOKEN else []


def watch(relay, call_id):
    """Prints what happens in a call, to its end. A connection that breaks costs nothing: it goes on where it was."""
    last = 0
    while True:
        request = relay_service_pb2.WatchCallRequest(call_id=call_id, after_sequence=last)
        try:
            for response in relay.WatchCall(request, metadata=METADATA):
                last = response.event.sequence
                show(response.event)
            return
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(1)


def show(event):
    """Prints an event. Those that are not known here are passed over: a contract may grow."""
    match event.WhichOneof("event"):
        case "transcript" if event.transcript.is_final:
            print("caller:", event.transcript.text)
        case "playback_started":
            print("assistant:", event.playback_started.text)
        case "playback_interrupted":
            print("interrupted after:", event.playback_interrupted.heard)
        case "state_changed" if event.state_changed.state == call_pb2.CALL_STATE_ENDED:
            print("ended:", call_pb2.EndReason.Name(event.state_changed.end_reason))
    sys.stdout.flush()


def main():
    with grpc.insecure_channel(os.environ.get("RELAY", "127.0.0.1:50051")) as channel:
        relay = relay_service_pb2_grpc.RelayServiceStub(channel)
        match sys.argv[1:]:
            case ["watch", call_id]:
                watch(relay, call_id)
            case _:
                sys.exit(__doc__)


if __name__ == "__main__":
    main()
