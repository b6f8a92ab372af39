"""Stock Celery and Flower against our worker. Usage: celery_py.py REDIS_URL RECORDING_URL QUESTION ANSWER"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

from celery import Celery, chord
from celery.exceptions import TaskRevokedError

redis_url, recording, question, answer = sys.argv[1:5]
app = Celery(broker=redis_url, backend=redis_url)
app.conf.update(broker_connection_retry_on_startup=True, result_extended=True)
TASK = "get_llm_response_task"
LIMIT = 60  # generous: machines here are shared
turn = app.signature(TASK, args=["call-1", recording, []])
whole = {"llm_response": answer, "user_transcript": question}


def check(what, condition, more=""):
    print(("ok   " if condition else "FAIL ") + what, more if not condition else "", flush=True)
    if not condition:
        sys.exit(1)


def fails(result, reason):
    try:
        result.get(timeout=LIMIT)
    except Exception as error:  # the class is made on the fly from the result
        return type(error).__name__ == reason, repr(error)
    return False, "it succeeded"


# Producing.
result = app.send_task(TASK, args=["call-1", recording, []])
check("three arguments give the dict", result.get(timeout=LIMIT) == whole, result.result)
check("state is SUCCESS", result.state == "SUCCESS", result.state)
result = app.send_task(TASK, args=[recording, []])
check("two arguments give the bare reply", result.get(timeout=LIMIT) == answer, result.result)
history = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
result = app.send_task(TASK, args=["call-1", recording, history], headers={"voice_speech_start_ms": 0})
check("a history goes along", result.get(timeout=LIMIT) == whole)
begun = time.time()
result = turn.apply_async(countdown=1, priority=9, expires=60)
check("countdown, priority, expires", result.get(timeout=LIMIT) == whole and time.time() - begun >= 1)
result = turn.apply_async(retries=2)
check("retries", result.get(timeout=LIMIT) == whole)
result = turn.apply_async(ignore_result=True)
time.sleep(2)
check("an ignored result is not stored", app.AsyncResult(result.id).state in ("PENDING", "STARTED"))

# Failing.
check("a failure has its type and message", *fails(app.send_task(TASK, args=["c", "http://127.0.0.1:9/x.wav", []], headers={"voice_deadline": time.time() + 3}), "RECORDING_UNAVAILABLE"))
check("bad arguments say so", *fails(app.send_task(TASK, args=[1]), "INVALID_JOB"))
check("an unknown task says so", *fails(app.send_task("somebody.elses"), "NotRegistered"))
check("a link is refused loudly", *fails(turn.apply_async(link=app.signature("other")), "InvalidMessage"))
check("an errback is refused loudly", *fails(turn.apply_async(link_error=app.signature("other")), "InvalidMessage"))
check("a compressed body is refused loudly", *fails(turn.apply_async(compression="gzip"), "InvalidMessage"))
header = chord([turn.clone()])(app.signature("other"))
check("a chord is refused loudly", *fails(header.parent.results[0], "InvalidMessage"))
try:
    turn.apply_async(expires=-1).get(timeout=LIMIT)
    check("an expired task is revoked", False)
except TaskRevokedError:
    check("an expired task is revoked", True)

# Revoking.
result = turn.apply_async(countdown=3600)
time.sleep(0.5)
result.revoke()
try:
    result.get(timeout=LIMIT)
    check("a waiting task is revoked", False)
except TaskRevokedError:
    check("a waiting task is revoked", True)

# Remote control.
names = list(app.control.inspect(timeout=4).ping() or {})
check("inspect ping", len(names) == 1 and names[0].startswith("voice-"), names)
name = names[0]
inspect = app.control.inspect([name], timeout=LIMIT)
check("inspect stats", inspect.stats()[name]["total"][TASK] >= 5)
check("inspect registered", inspect.registered()[name] == [TASK])
check("inspect active", isinstance(inspect.active()[name], list))
check("inspect active_queues", inspect.active_queues()[name][0]["name"] == "celery")
check("inspect conf, scheduled, reserved, revoked", all(inspect_() is not None for inspect_ in (inspect.conf, inspect.scheduled, inspect.reserved, inspect.revoked)))
check("control of one by name", app.control.ping(destination=[name], timeout=LIMIT) == [{name: {"ok": "pong"}}])
check("control of others is not answered", app.control.ping(destination=["other@host"], timeout=1) == [])
celery = [os.path.join(os.path.dirname(sys.executable), "celery"), "-b", redis_url]
for words in (["status"], ["inspect", "ping"], ["inspect", "stats"], ["inspect", "active"], ["control", "enable_events"]):
    run = subprocess.run(celery + words + ["-d", name, "-t", str(LIMIT)], capture_output=True, text=True, timeout=2 * LIMIT)
    check("celery " + " ".join(words), run.returncode == 0 and name in run.stdout, run.stdout + run.stderr)

# Flower.
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = str(free.getsockname()[1])
flower = subprocess.Popen(celery + ["flower", "--address=127.0.0.1", "--port=" + port], env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(path):
    return opener.open("http://127.0.0.1:%s%s" % (port, path), timeout=LIMIT).read().decode()


def eventually(what, attempt, seconds=2 * LIMIT):
    last = ""
    for _ in range(seconds * 2):
        try:
            last = attempt()
            if last is True:
                return check(what, True)
        except Exception as error:
            last = repr(error)
        time.sleep(0.5)
    check(what, False, last)


try:
    eventually("flower lists the worker", lambda: name in json.loads(ask("/api/workers?refresh=1")) or "not there")
    app.control.enable_events()
    sent = []

    def shown():
        # Of what ran before it listened it knows nothing.
        sent.append(app.send_task(TASK, args=["call-1", recording, []]))
        sent[-1].get(timeout=LIMIT)
        known = json.loads(ask("/api/tasks"))
        done = [task for task in (known.get(result.id) for result in sent) if task and task["state"] == "SUCCESS"]
        if not done:
            return "%d were sent, it knows %r" % (len(sent), known)
        task, told = done[0], json.dumps(done)
        return (task["name"] == TASK and task["runtime"] is not None and answer not in told and recording not in told) or told

    eventually("flower shows the task, its state and time, and nothing that was said", shown)
    eventually("flower's page of the worker", lambda: name in ask("/worker/" + name))
finally:
    flower.terminate()
    flower.wait(timeout=LIMIT)
print("all well")
