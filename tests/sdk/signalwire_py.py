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


def control(method, path, body=None, content_type="application/json"):
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    request = urllib.request.Request(HTTP_URL + path, data=data, method=method)
    request.add_header("Content-Type", content_type)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as response:
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
    with opener.open(url, timeout=10) as response:
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
    assert call.direction == "inbound", call.direction
    assert call.device["params"]["from_number"] == "+15551110000", call.device
    await call.answer()
    await call.wait_for_answered(timeout=5)

    # A whole clip is played in its own time.
    started = asyncio.get_running_loop().time()
    played = await (await call.play_audio(clip_url)).wait(timeout=10)
    took = asyncio.get_running_loop().time() - started
    assert played.params["state"] == "finished", played.params
    assert CLIP_SECONDS - 0.05 < took < CLIP_SECONDS + 0.5, took

    # A clip that cannot be fetched is an error, said so.
    broken = await (await call.play_audio("http://127.0.0.1:9/none.wav")).wait(timeout=10)
    assert broken.params["state"] == "error", broken.params

    # Pause, resume, volume, stop.
    playback = await call.play([{"type": "tts", "params": {"text": "one two three four five six seven"}}])
    await call.wait_for("calling.call.play", lambda e: e.params["state"] == "playing", timeout=10)
    assert (await playback.pause())["code"] == "200"
    assert (await playback.resume())["code"] == "200"
    assert (await playback.volume(3.0))["code"] == "200"
    assert (await playback.stop())["code"] == "200"
    assert (await playback.wait(timeout=5)).params["state"] == "finished"
    # What has finished is gone: the SDK swallows 404.
    assert await playback.stop() == {}

    # Tape and ear together, as a client does that listens.
    tape = await call.record({"format": "wav", "direction": "speak", "beep": False, "initial_timeout": 0,
                              "end_silence_timeout": 0, "terminators": ""})
    results = []
    call.on("calling.call.collect", lambda event: results.append(event.params))
    final = asyncio.ensure_future(call.wait_for(
        "calling.call.collect", lambda e: e.params.get("final") is True, timeout=20))
    await call.collect(speech={"end_silence_timeout": 0.5}, digits={"max": 1}, partial_results=True,
                       send_start_of_input=True, start_input_timers=False)
    said_ms = await say(call.call_id)
    event = await final
    assert event.params["result"]["params"]["text"] == CALLER_TEXT, event.params
    kinds = [params["result"]["type"] for params in results]
    assert kinds[0] == "start_of_input", kinds
    partials = [params["result"]["params"]["text"] for params in results if params.get("final") is False]
    assert partials and all(CALLER_TEXT.startswith(text) for text in partials), partials
    await tape.stop()
    recorded = await tape.wait(timeout=5)
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
        {"initial_timeout": 5, "digits": {"max": 4, "digit_timeout": 3, "terminators": "#"}})
    await controlled("POST", f"/sim/calls/{call.call_id}/digits", {"digits": "12#"})
    pressed = await prompt.wait(timeout=10)
    assert pressed.params["result"] == {"type": "digit", "params": {"digits": "12", "terminator": "#"}}, pressed.params

    await collect(call, clip_url)

    sent = asyncio.ensure_future(call.wait_for("calling.call.send_digits", timeout=10))
    assert (await call.send_digits("12#"))["code"] == "200"
    assert (await sent).params["state"] == "finished"

    connected = asyncio.ensure_future(call.wait_for(
        "calling.call.connect", lambda e: e.params["connect_state"] == "connected", timeout=10))
    await call.connect([[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": "+15553330000"}}]])
    assert (await connected).params["peer"]["device"]["params"]["to_number"] == "+15553330000"

    await call.hangup()
    ended = await call.wait_for_ended(timeout=5)
    assert ended.params["end_reason"] == "hangup", ended.params


async def collect(call, clip_url):
    """Prompts and collects whose input is speech, keys, nothing, or a stop."""
    prompt = [{"type": "audio", "params": {"url": clip_url}}]
    speech = {"end_silence_timeout": 0.5, "language": "en-US", "hints": ["hours"]}
    loop = asyncio.get_running_loop()

    # Words answer a prompt, and cut it.
    long = [{"type": "tts", "params": {"text": " ".join(["please tell me what you would like to know"] * 4)}}]
    cut = asyncio.ensure_future(call.wait_for(
        "calling.call.play", lambda e: e.params["state"] == "finished", timeout=20))
    asked = await call.play_and_collect(long, {"speech": speech, "digits": {"max": 1}, "initial_timeout": 10}, volume=-2.0)
    await call.wait_for("calling.call.play", lambda e: e.params["state"] == "playing", timeout=10)
    await say(call.call_id)
    heard = await asked.wait(timeout=20)
    assert heard.params["result"]["type"] == "speech", heard.params
    assert heard.params["result"]["params"]["text"] == CALLER_TEXT, heard.params
    assert (await cut).params["control_id"] == asked.control_id
    view = await controlled("GET", f"/sim/calls/{call.call_id}")
    assert view["playbacks"][-1]["ended_by"] == "input", view["playbacks"][-1]

    # Nobody answers: the time to do so begins with the end of the prompt.
    started = loop.time()
    silent = await (await call.play_and_collect(prompt, {"digits": {"max": 4}, "initial_timeout": 0.5})).wait(timeout=10)
    assert silent.params["result"]["type"] == "no_input", silent.params
    assert loop.time() - started > CLIP_SECONDS + 0.4, loop.time() - started

    # A prompt has a volume, its timers can be started before its end, and it can be stopped.
    asked = await call.play_and_collect(long, {"digits": {"max": 4}, "initial_timeout": 30})
    await call.wait_for("calling.call.play", lambda e: e.params["state"] == "playing", timeout=10)
    assert (await asked.volume(3.0))["code"] == "200"
    assert (await asked.start_input_timers())["code"] == "200"
    assert (await asked.stop())["code"] == "200"
    assert (await asked.wait(timeout=5)).params["result"]["type"] == "no_input"
    assert await asked.stop() == {}

    # Keys without a prompt: ended by a terminator, by their number, by a pause.
    for pressed, digits, expected in (
        ("42#", {"max": 9, "terminators": "#"}, {"digits": "42", "terminator": "#"}),
        ("123", {"max": 3}, {"digits": "123"}),
        ("7", {"max": 3, "digit_timeout": 0.3}, {"digits": "7"}),
    ):
        keys = await call.collect(digits=digits, initial_timeout=10)
        await controlled("POST", f"/sim/calls/{call.call_id}/digits", {"digits": pressed})
        event = await keys.wait(timeout=10)
        assert event.params["result"] == {"type": "digit", "params": expected}, event.params
        assert (event.params["state"], event.params["final"]) == ("finished", True), event.params

    # A collect whose timers are not started waits.
    waiting = await call.collect(digits={"max": 1}, initial_timeout=0.2, start_input_timers=False)
    await asyncio.sleep(0.6)
    assert not waiting.is_done
    assert (await waiting.start_input_timers())["code"] == "200"
    assert (await waiting.wait(timeout=5)).params["result"]["type"] == "no_input"

    # A continuous one goes on after a final result, until it is stopped.
    results = []
    listen = lambda event: results.append(event.params)
    call.on("calling.call.collect", listen)
    ear = await call.collect(speech=speech, continuous=True, start_input_timers=False)
    for _ in range(2):
        final = asyncio.ensure_future(call.wait_for(
            "calling.call.collect", lambda e: e.params.get("final") is True, timeout=20))
        await say(call.call_id)
        assert (await final).params["state"] == "collecting"
    over = asyncio.ensure_future(call.wait_for(
        "calling.call.collect", lambda e: e.params.get("state") == "finished", timeout=10))
    assert (await call._execute("collect.stop", {"control_id": ear.control_id}))["code"] == "200"
    await over
    texts = [params["result"]["params"]["text"] for params in results if params["result"]["type"] == "speech"]
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
            return await asyncio.wait_for(self.news.wait_for(found), 15)


async def stream(client):
    """Streams, taps and connects a call, as the SDK asks for it."""
    media = Media()
    async with websockets.serve(media, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        call = await client.dial(
            [[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": "+15554440000"}}]], dial_timeout=10)

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
        assert (await listening.wait(timeout=5)).params["state"] == "finished"
        await media.until("/one-way", event("stop"))

        tap = await call.tap({"type": "audio", "params": {"direction": "both"}},
                             {"type": "ws", "params": {"uri": f"{url}/tap"}})
        assert len(await media.until("/tap", lambda message: isinstance(message, bytes))) == 160
        await tap.stop()
        assert (await tap.wait(timeout=5)).params["state"] == "finished"

        connected = asyncio.ensure_future(call.wait_for(
            "calling.call.connect", lambda e: e.params["connect_state"] == "connected", timeout=10))
        await call.connect([[{"type": "stream", "params": {"url": f"{url}/two-way", "realtime": True}}]])
        assert (await connected).params["peer"]["device"]["type"] == "stream"
        assert (await media.until("/two-way", event("mark")))["mark"] == {"name": "end"}
        apart = asyncio.ensure_future(call.wait_for(
            "calling.call.connect", lambda e: e.params["connect_state"] == "disconnected", timeout=10))
        await call.disconnect()
        await apart
        await media.until("/two-way", event("stop"))
        await call.hangup()
        await call.wait_for_ended(timeout=5)


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

    def to(number):
        return [[{"type": "phone", "params": {"from_number": "+15552220000", "to_number": number, "timeout": 1}}]]

    verdicts = {}
    for number in ("+15550000001", "+15550000002"):
        call = await client.dial(to(number), dial_timeout=10)
        assert call.direction == "outbound" and call.state == "answered", (call.direction, call.state)
        over = asyncio.ensure_future(call.wait_for(
            "calling.call.detect", lambda e: e.params["detect"]["params"]["event"] == "finished", timeout=15))
        told = []
        call.on("calling.call.detect", lambda event: told.append(event.params["detect"]["params"]))
        await call.detect_answering_machine(timeout=12)
        await over
        verdicts[number] = [(params["event"], params.get("beep")) for params in told]
        await (await call.play_audio(clip_url)).wait(timeout=10)
        await call.hangup()
        await call.wait_for_ended(timeout=5)
    assert verdicts["+15550000001"] == [("HUMAN", False), ("finished", None)], verdicts
    assert verdicts["+15550000002"] == [("MACHINE", False), ("READY", True), ("finished", None)], verdicts

    for number, reason in (("+15550000003", "busy"), ("+15550000004", "noAnswer"), ("+15550000005", "error")):
        try:
            await client.dial(to(number), dial_timeout=10)
        except Exception:
            pass
        else:
            raise AssertionError(f"{number} answered")
        calls = (await controlled("GET", "/sim/calls"))["calls"]
        assert [call["end_reason"] for call in calls if call["to"] == number] == [reason], calls

    # Two calls that are up are connected to each other, and come apart.
    one = await client.dial(to("+15550000001"), dial_timeout=10)
    two = await client.dial(to("+15550000006"), dial_timeout=10)
    connected = [asyncio.ensure_future(call.wait_for(
        "calling.call.connect", lambda e: e.params["connect_state"] == "connected", timeout=10)) for call in (one, two)]
    await one.connect([[{"type": "call", "params": {"node_id": two.node_id, "call_id": two.call_id}}]])
    await asyncio.gather(*connected)
    apart = asyncio.ensure_future(two.wait_for(
        "calling.call.connect", lambda e: e.params["connect_state"] == "disconnected", timeout=10))
    await one.hangup()
    await apart
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
    await asyncio.wait_for(done, 90)
    await asyncio.wait_for(dial(client, clip_url), 90)
    await asyncio.wait_for(stream(client), 90)
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
