"""Follows a call of the mesh, or holds one: client.py watch CALL_ID | converse QUESTION.wav HEARD.wav

RELAY is the address of the relay, API_TOKEN a token where one is needed. clients/generate.sh makes the stubs.
"""

import os
import pathlib
import sys
import threading
import time
import wave

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent / "gen"))
from voice.audio.v1 import audio_pb2
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


def converse(relay, question, heard):
    """Asks what a WAV file says (16 bits, mono; 8, 16 or 24 kHz), and writes all that is heard into another one."""
    with wave.open(question) as file:
        rate, speech = file.getframerate(), file.readframes(file.getnframes())
    greeted, answered = threading.Event(), threading.Event()
    requests = call(rate, speech, greeted, answered)
    is_answering = False
    with wave.open(heard, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        for response in relay.Converse(requests, metadata=METADATA):
            match response.WhichOneof("payload"):
                case "audio":
                    file.writeframes(response.audio)
                case "event":
                    show(response.event)
                    is_answering |= response.event.playback_started.kind == call_pb2.PLAYBACK_KIND_REPLY
                    if response.event.state_changed.activity == call_pb2.ACTIVITY_LISTENING:
                        (answered if is_answering else greeted).set()


def call(rate, speech, greeted, answered):
    """What the caller sends: the configuration, then a tenth of a second at a time, as a microphone gives it. He is
    silent until he has been greeted, speaks, listens, and hangs up."""
    audio_format = audio_pb2.AudioFormat(encoding=audio_pb2.AUDIO_ENCODING_LINEAR16, sample_rate_hertz=rate)
    config = relay_service_pb2.ConverseConfig(format=audio_format, wants_events=True)
    yield relay_service_pb2.ConverseRequest(config=config)
    size, due = rate // 10 * 2, time.monotonic()
    while not answered.is_set():
        piece = bytes(size)
        if greeted.is_set() and speech:
            piece, speech = speech[:size], speech[size:]
        yield relay_service_pb2.ConverseRequest(audio=relay_service_pb2.CallerAudio(audio=piece))
        due += 0.1
        time.sleep(max(0.0, due - time.monotonic()))


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
            case ["converse", question, heard]:
                converse(relay, question, heard)
            case _:
                sys.exit(__doc__)


if __name__ == "__main__":
    main()
