"""Groq's own Python SDK against the pretend Groq: argv = base URL, WAV file, the words in it."""

import io
import sys
import wave

import groq

base_url, wav, words = sys.argv[1:4]
client = groq.Groq(base_url=base_url, api_key="gsk_test", max_retries=0)


def check(condition, what):
    if not condition:
        sys.exit(f"groq sdk: {what}")


def plain(text):
    return " ".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


models = [model.id for model in client.models.list().data]
check("whisper-large-v3" in models and "openai/gpt-oss-20b" in models, f"models: {models}")

with open(wav, "rb") as file:
    audio = file.read()
for form in ("json", "verbose_json", "text"):
    answer = client.audio.transcriptions.create(file=("turn.wav", audio), model="whisper-large-v3", response_format=form)
    text = answer if isinstance(answer, str) else answer.text
    check(plain(text) == words, f"{form} transcription: {text!r}")

messages = [{"role": "user", "content": "hello there"}]
whole = client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages)
check(whole.choices[0].message.content == "Good day to you.", f"chat: {whole}")
pieces, finished = [], None
for chunk in client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages, stream=True):
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        finished = choice.finish_reason or finished
check("".join(pieces) == "Good day to you." and finished == "stop", f"stream: {pieces} {finished}")

names = ("ring", "chime")
schema = {"type": "object", "properties": {"times": {"type": "integer"}}}
tools = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in names]
messages = [{"role": "user", "content": "ring the bells"}]
calls, finished = {}, None
for chunk in client.chat.completions.create(
    model="openai/gpt-oss-20b", messages=messages, tools=tools, stream=True
):
    for choice in chunk.choices:
        finished = choice.finish_reason or finished
        for piece in choice.delta.tool_calls or []:
            known = calls.setdefault(piece.index, {"id": piece.id, "name": piece.function.name, "arguments": ""})
            known["arguments"] += piece.function.arguments or ""
wanted = [(name, '{"times":2}') for name in names]
check([(call["name"], call["arguments"]) for call in calls.values()] == wanted, f"streamed tool calls: {calls}")
check(finished == "tool_calls", f"finish reason: {finished}")
whole = client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages, tools=tools)
asked = whole.choices[0].message
check([(call.function.name, call.function.arguments) for call in asked.tool_calls] == wanted, f"tool calls: {asked}")
messages.append(asked.model_dump(include={"role", "content", "tool_calls"}))
messages += [{"role": "tool", "tool_call_id": call.id, "content": "they have rung"} for call in asked.tool_calls]
told = client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages, tools=tools)
check(told.choices[0].message.content == "There you are.", f"after the results: {told}")

speech = client.audio.speech.create(
    model="canopylabs/orpheus-v1-english", voice="troy", input="Hello there.", response_format="wav"
)
with wave.open(io.BytesIO(speech.read())) as sound:
    check((sound.getframerate(), sound.getnchannels()) == (24000, 1), "speech is not 24 kHz mono")
    check(len(sound.readframes(10_000_000)) > 10_000, "speech is empty")

for call, error in (
    (lambda: groq.Groq(base_url=base_url, api_key="wrong", max_retries=0).models.list(), groq.AuthenticationError),
    (lambda: client.chat.completions.create(model="openai/gpt-oss-20b", messages=messages[:-1]), groq.BadRequestError),
    (lambda: client.chat.completions.create(model="llama3-8b-8192", messages=messages), groq.APIStatusError),
    (
        lambda: client.audio.speech.create(
            model="canopylabs/orpheus-v1-english", voice="troy", input="x" * 201, response_format="wav"
        ),
        groq.BadRequestError,
    ),
):
    try:
        call()
    except error:
        continue
    check(False, f"no {error.__name__}")
print("groq sdk: all well")
