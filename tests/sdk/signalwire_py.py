"""Drives the SignalWire simulator with the vendor's Python SDK, over TLS.

Usage: signalwire_py.py RELAY_HOST:PORT HTTP_URL CALLER_WAV CALLER_TEXT
The certificate to trust is named by SIGNALWIRE_RELAY_CA_FILE. Exit code 0 if every value is as expected.
"""

import asyncio
import base64
import io
import json
import math
import struct
import sys
import threading
import urllib.parse
import urllib.request
import wave
from http.server import BaseHTTPRequestHandler, HTTPServer

import websockets
from signalwire.relay import RelayClient

RELAY_HOST, HTTP_URL, CALLER_WAV, CALLER_TEXT = sys.argv[1:5]
CLIP_SECONDS = 1.0
# Nothing here takes long; a machine that is busy may.
PATIENCE = 30


class Told:
    """What a call has told since it was first seen: an event may have come before it is waited for, and one of an earlier
    command is not taken for that of a later one."""

    def __init__(self, call):
        self.events, self.news = [], asyncio.Event()
        for kind in ("play", "collect", "connect", "detect", "send_digits"):
            call.on(f"calling.call.{kind}", self._keep)

    def _keep(self, event):
        self.events.append(event)
        self.news.set()

    async def until(self, kind, wanted, since=0):
        """The first event of this kind that is wanted, of those after the first `since` events."""
        async def found():
            while True:
                for event in self.events[since:]:
                    if event.event_type == f"calling.call.{kind}" and wanted(event.params):
                        return event.params
                self.news.clear()
                await self.news.wait()
        return await asyncio.wait_for(found(), PATIENCE)

    async def played(self, action, state):
        return await self.until("play", lambda p: (p["control_id"], p["state"]) == (action.control_id, state))


def control(method, path, body=None, content_type="application/json"):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(HTTP_URL + path, data=data, method=method)
    request.add_header("Content-Type", content_type)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=PATIENCE) as response:
        return json.load(response)


async def controlled(*args):
    return await asyncio.to_thread(control, *args)


async def say(call_id):
    with open(CALLER_WAV, "rb") as file:
        speech = file.read()
    path = f"/sim/calls/{call_id}/say?text={urllib.parse.quote(CALLER_TEXT)}"
    return (await controlled("POST", path, speech, "audio/wav"))["duration_ms"]


def tone():
    samples = (int(8000 * math.sin(n * 440 * 2 * math.pi / 8000)) for n in range(int(8000 * CLIP_SECONDS)))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return file.getvalue()


class Clips(BaseHTTPRequestHandler):
    def do_GET(self):
        body = tone()
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def fetch(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as response:
        return response.headers["Content-Type"], response.read()


async def fetch_when_there(url):
    for _ in range(100):
        try:
            return await asyncio.to_thread(fetch, url)
        except urllib.error.HTTPError as error:
            assert error.code == 404, error
            await asyncio.sleep(0.02)
    raise AssertionError("the recording never appeared")


async def converse(call, clip_url):
    told = Told(call)
    assert call.direction == "inbound", call.direction
    assert call.device["params"]["from_number"] == "+15551110000", call.device
    await call.answer()
    await call.wait_for_answered(timeout=PATIENCE)

    # A whole clip is played in its own time.
    started = asyncio.get_running_loop().time()
    played = await (await call.play_audio(clip_url)).wait(timeout=PATIENCE)
    took = asyncio.get_running_loop().time() - started
    assert played.params["state"] == "finished", played.params
    assert took > CLIP_SECONDS - 0.05, took

    # A clip that cannot be fetched is an error, said so.
    broken = await (await call.play_audio("http://127.0.0.1:9/none.wav")).wait(timeout=PATIENCE)
    assert broken.params["state"] == "error", broken.params

    # Pause, resume, volume, stop.
    playback = await call.play([{"type": "tts", "params": {"text": "one two three four five six seven"}}])
    await told.played(playback, "playing")
    assert (await playback.pause())["code"] == "200"
    assert (await playback.resume())["code"] == "200"
    assert (await playback.volume(3.0))["code"] == "200"
    assert (await playback.stop())["code"] == "200"
    assert (await playback.wait(timeout=PATIENCE)).params["state"] == "finished"
    # What has finished is gone: the SDK swallows 404.
    assert await playback.stop() == {}

    # Tape and ear together, as a client does that listens.
    tape = await call.record({"format": "wav", "direction": "speak", "beep": False, "initial_timeout": 0,
                              "end_silence_timeout": 0, "terminators": ""})
    ear = await call.collect(speech={"end_silence_timeout": 0.5}, digits={"max": 1}, partial_results=True,
                             send_start_of_input=True, start_input_timers=False)
    said_ms = await say(call.call_id)
    final = await told.until("collect", lambda p: p["control_id"] == ear.control_id and p.get("final") is True)
    assert final["result"]["params"]["text"] == CALLER_TEXT, final
    results = [e.params for e in told.events if e.params.get("control_id") == ear.control_id]
    kinds = [params["result"]["type"] for params in results]
    assert kinds[0] == "start_of_input", kinds
    partials = [params["result"]["params"]["text"] for params in results if params.get("final") is False]
    assert partials and all(CALLER_TEXT.startswith(text) for text in partials), partials
    await tape.stop()
    recorded = await tape.wait(timeout=PATIENCE)
    assert recorded.params["state"] == "finished", recorded.params
    content_type, file = await fetch_when_there(recorded.url)
    assert content_type == "audio/wav", content_type
    assert len(file) == recorded.size, (len(file), recorded.size)
    with wave.open(io.BytesIO(file)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (8000, 1, 2)
        seconds = reader.getnframes() / 8000
        samples = struct.unpack(f"<{reader.getnframes()}h", reader.readframes(reader.getnframes()))
    assert abs(seconds - recorded.duration) < 0.001, (seconds, recorded.duration)
    assert seconds * 1000 > said_ms, (seconds, said_ms)
    assert max(samples) > 3000, "the recording is silent"

    # Digits answer a prompt.
    prompt = await call.play_and_collect(
        [{"type": "audio", "params": {"url": clip_url}}],
        {"initial_timeout": PATIENCE, "digits": {"max": 4, "digit_timeout": 3, "terminators": "#"}})
    await controlled("POST", f"/sim/calls/{call.call_id}/digits", {"digits": "12#"})
    pressed = await prompt.wait(timeout=PATIENCE)
    assert pressed.params["result"] == {"type": "digit", "params": {"digits": "12", "terminator": "#"}}, pressed.params

    await collect(call, told, clip_url)

    assert (await call.send_digits("12#"))["code"] == "200"
    await told.until("send_digits", lambda p: p["state"] == "finished")

    await call.connect([[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": "+15553330000"}}]])
    connected = await told.until("connect", lambda p: p["connect_state"] == "connected")
    assert connected["peer"]["device"]["params"]["to_number"] == "+15553330000", connected

    await call.hangup()
    ended = await call.wait_for_ended(timeout=PATIENCE)
    assert ended.params["end_reason"] == "hangup", ended.params


async def collect(call, told, clip_url):
    """Prompts and collects whose input is speech, keys, nothing, or a stop."""
    prompt = [{"type": "audio", "params": {"url": clip_url}}]
    speech = {"end_silence_timeout": 0.5, "language": "en-US", "hints": ["hours"]}
    loop = asyncio.get_running_loop()

    # Words answer a prompt, and cut it.
    long = [{"type": "tts", "params": {"text": " ".join(["please tell me what you would like to know"] * 4)}}]
    asked = await call.play_and_collect(long, {"speech": speech, "digits": {"max": 1}, "initial_timeout": PATIENCE}, volume=-2.0)
    await told.played(asked, "playing")
    await say(call.call_id)
    heard = await asked.wait(timeout=PATIENCE)
    assert heard.params["result"]["type"] == "speech", heard.params
    assert heard.params["result"]["params"]["text"] == CALLER_TEXT, heard.params
    await told.played(asked, "finished")
    view = await controlled("GET", f"/sim/calls/{call.call_id}")
    assert view["playbacks"][-1]["ended_by"] == "input", view["playbacks"][-1]

    # Nobody answers: the time to do so begins with the end of the prompt.
    started = loop.time()
    silent = await (await call.play_and_collect(prompt, {"digits": {"max": 4}, "initial_timeout": 0.5})).wait(timeout=PATIENCE)
    assert silent.params["result"]["type"] == "no_input", silent.params
    assert loop.time() - started > CLIP_SECONDS + 0.4, loop.time() - started

    # A prompt has a volume, its timers can be started before its end, and it can be stopped.
    asked = await call.play_and_collect(long, {"digits": {"max": 4}, "initial_timeout": 30})
    await told.played(asked, "playing")
    assert (await asked.volume(3.0))["code"] == "200"
    assert (await asked.start_input_timers())["code"] == "200"
    assert (await asked.stop())["code"] == "200"
    assert (await asked.wait(timeout=PATIENCE)).params["result"]["type"] == "no_input"
    assert await asked.stop() == {}

    # Keys without a prompt: ended by a terminator, by their number, by a pause.
    for pressed, digits, expected in (
        ("42#", {"max": 9, "terminators": "#"}, {"digits": "42", "terminator": "#"}),
        ("123", {"max": 3}, {"digits": "123"}),
        ("7", {"max": 3, "digit_timeout": 0.3}, {"digits": "7"}),
    ):
        keys = await call.collect(digits=digits, initial_timeout=PATIENCE)
        await controlled("POST", f"/sim/calls/{call.call_id}/digits", {"digits": pressed})
        event = await keys.wait(timeout=PATIENCE)
        assert event.params["result"] == {"type": "digit", "params": expected}, event.params
        assert (event.params["state"], event.params["final"]) == ("finished", True), event.params

    # A collect whose timers are not started waits.
    waiting = await call.collect(digits={"max": 1}, initial_timeout=0.2, start_input_timers=False)
    await asyncio.sleep(0.6)
    assert not waiting.is_done
    assert (await waiting.start_input_timers())["code"] == "200"
    assert (await waiting.wait(timeout=PATIENCE)).params["result"]["type"] == "no_input"

    # A continuous one goes on after a final result, until it is stopped.
    ear = await call.collect(speech=speech, continuous=True, start_input_timers=False)
    of_ear = lambda p: p["control_id"] == ear.control_id
    texts = []
    for _ in range(2):
        before = len(told.events)
        await say(call.call_id)
        final = await told.until("collect", lambda p: of_ear(p) and p.get("final") is True, since=before)
        assert (final["state"], final["result"]["type"]) == ("collecting", "speech"), final
        texts.append(final["result"]["params"]["text"])
    assert (await call._execute("collect.stop", {"control_id": ear.control_id}))["code"] == "200"
    await told.until("collect", lambda p: of_ear(p) and p["state"] == "finished")
    assert texts == [CALLER_TEXT] * 2, texts


class Media:
    """Listens where media is streamed to, and keeps what comes by path."""

    def __init__(self):
        self.messages = {}
        self.tokens = {}
        self.news = asyncio.Condition()

    async def __call__(self, socket):
        path = socket.request.path
        self.tokens[path] = socket.request.headers.get("Authorization")
        async for message in socket:
            async with self.news:
                message = message if isinstance(message, bytes) else json.loads(message)
                self.messages.setdefault(path, []).append(message)
                self.news.notify_all()
            if path == "/two-way" and not isinstance(message, bytes) and message["event"] == "start":
                stream = {"streamSid": message["start"]["streamSid"]}
                silence = base64.b64encode(b"\xff" * 800).decode()
                for said in ({"event": "media", "media": {"payload": silence}}, {"event": "mark", "mark": {"name": "end"}}):
                    await socket.send(json.dumps(said | stream))

    async def until(self, path, wanted):
        async with self.news:
            found = lambda: next((m for m in self.messages.get(path, []) if wanted(m)), None)
            return await asyncio.wait_for(self.news.wait_for(found), PATIENCE)


async def stream(client):
    """Streams, taps and connects a call, as the SDK asks for it."""
    media = Media()
    async with websockets.serve(media, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        call = await client.dial(
            [[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": "+15554440000"}}]],
            dial_timeout=PATIENCE)
        told = Told(call)

        listening = await call.stream(f"{url}/one-way", name="n", codec="L16@16000h", track="inbound_track",
                                      authorization_bearer_token="secret", custom_parameters={"session": "42"})
        event = lambda name: lambda message: message["event"] == name
        start = (await media.until("/one-way", event("start")))["start"]
        assert start["customParameters"] == {"session": "42"}, start
        assert start["mediaFormat"] == {"encoding": "audio/x-L16", "sampleRate": 16000, "channels": 1}, start
        heard = (await media.until("/one-way", event("media")))["media"]
        assert len(base64.b64decode(heard["payload"])) == 640, heard
        assert media.tokens["/one-way"] == "Bearer secret", media.tokens
        await listening.stop()
        assert (await listening.wait(timeout=PATIENCE)).params["state"] == "finished"
        await media.until("/one-way", event("stop"))

        tap = await call.tap({"type": "audio", "params": {"direction": "both"}},
                             {"type": "ws", "params": {"uri": f"{url}/tap"}})
        assert len(await media.until("/tap", lambda message: isinstance(message, bytes))) == 160
        await tap.stop()
        assert (await tap.wait(timeout=PATIENCE)).params["state"] == "finished"

        await call.connect([[{"type": "stream", "params": {"url": f"{url}/two-way", "realtime": True}}]])
        connected = await told.until("connect", lambda p: p["connect_state"] == "connected")
        assert connected["peer"]["device"]["type"] == "stream", connected
        assert (await media.until("/two-way", event("mark")))["mark"] == {"name": "end"}
        await call.disconnect()
        await told.until("connect", lambda p: p["connect_state"] == "disconnected")
        await media.until("/two-way", event("stop"))
        await call.hangup()
        await call.wait_for_ended(timeout=PATIENCE)


async def dial(client, clip_url):
    """Calls people who answer, machines, and people who do not."""
    telephones = {
        "+15550000001": {"says_ms": 600},
        "+15550000002": {"says_ms": 2500, "beep": True},
        "+15550000003": {"does": "busy"},
        "+15550000004": {"does": "no_answer"},
        "+15550000005": {"does": "fail"},
    }
    await controlled("PUT", "/sim/telephones", telephones)

    def to(number, timeout=PATIENCE):
        return [[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": number, "timeout": timeout}}]]

    verdicts = {}
    for number in ("+15550000001", "+15550000002"):
        call = await client.dial(to(number), dial_timeout=PATIENCE)
        assert call.direction == "outbound" and call.state == "answered", (call.direction, call.state)
        told = Told(call)
        await call.detect_answering_machine(timeout=12)
        await told.until("detect", lambda p: p["detect"]["params"]["event"] == "finished")
        detected = [e.params["detect"]["params"] for e in told.events if e.event_type == "calling.call.detect"]
        verdicts[number] = [(params["event"], params.get("beep")) for params in detected]
        await (await call.play_audio(clip_url)).wait(timeout=PATIENCE)
        await call.hangup()
        await call.wait_for_ended(timeout=PATIENCE)
    assert verdicts["+15550000001"] == [("HUMAN", False), ("finished", None)], verdicts
    assert verdicts["+15550000002"] == [("MACHINE", False), ("READY", True), ("finished", None)], verdicts

    for number, reason in (("+15550000003", "busy"), ("+15550000004", "noAnswer"), ("+15550000005", "error")):
        try:
            await client.dial(to(number, timeout=1), dial_timeout=PATIENCE)
        except Exception:
            pass
        else:
            raise AssertionError(f"{number} answered")
        calls = (await controlled("GET", "/sim/calls"))["calls"]
        assert [call["end_reason"] for call in calls if call["to"] == number] == [reason], calls

    # Two calls that are up are connected to each other, and come apart.
    one = await client.dial(to("+15550000001"), dial_timeout=PATIENCE)
    two = await client.dial(to("+15550000006"), dial_timeout=PATIENCE)
    told = [Told(call) for call in (one, two)]
    await one.connect([[{"type": "call", "params": {"node_id": two.node_id, "call_id": two.call_id}}]])
    for side in told:
        await side.until("connect", lambda p: p["connect_state"] == "connected")
    await one.hangup()
    await told[1].until("connect", lambda p: p["connect_state"] == "disconnected")
    assert (await two.transfer("https://example.com/next.swml"))["code"] == "200"
    # The call is somebody else's now: the SDK swallows 404.
    assert await two.send_digits("1") == {}


async def main():
    clips = HTTPServer(("127.0.0.1", 0), Clips)
    threading.Thread(target=clips.serve_forever, daemon=True).start()
    clip_url = f"http://127.0.0.1:{clips.server_port}/clip.wav"
    client = RelayClient(project="sim-project", token="sim-token", host=RELAY_HOST, contexts=["py-lab"])
    done = asyncio.get_running_loop().create_future()

    @client.on_call
    async def on_call(call):
        try:
            await converse(call, clip_url)
            done.set_result(None)
        except BaseException as error:
            done.set_exception(error)

    await client.connect()
    assert client.relay_protocol.startswith("signalwire_"), client.relay_protocol
    ring = {"from": "+15551110000", "to": "+15552220000", "context": "py-lab"}
    call_id = (await controlled("POST", "/sim/calls", ring))["call_id"]
    await asyncio.wait_for(done, 150)
    await asyncio.wait_for(dial(client, clip_url), 150)
    await asyncio.wait_for(stream(client), 150)
    await client.disconnect()
    view = await controlled("GET", f"/sim/calls/{call_id}")
    assert (view["state"], view["violations"]) == ("ended", []), view
    assert (await controlled("GET", "/sim/stats"))["violations"] == []

    stranger = RelayClient(project="sim-project", token="wrong", host=RELAY_HOST)
    try:
        await stranger.connect()
    except Exception as error:
        assert "401" in str(error), error
    else:
        raise AssertionError("a wrong token was accepted")
    print("signalwire-sdk: ok")


asyncio.run(main())
