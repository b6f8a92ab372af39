"""The peer: stock Celery. `celery -A noop worker` runs it; `noop.py SEQUENTIAL CONCURRENT` measures it as a producer."""

import json
import os
import resource
import statistics
import sys
import time

from celery import Celery

app = Celery(broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.update(task_track_started=True, worker_prefetch_multiplier=32)


@app.task(name="noop")
def noop():
    return {"llm_response": "ok", "user_transcript": "x"}


def main(sequential, concurrent):
    for _ in range(20):
        noop.delay().get(timeout=30)
    trips = []
    for _ in range(sequential):
        begun = time.perf_counter()
        noop.delay().get(timeout=30)
        trips.append((time.perf_counter() - begun) * 1e3)
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    before = cpu.ru_utime + cpu.ru_stime
    print("ready", flush=True)
    sys.stdin.readline()
    begun = time.perf_counter()
    flying = []
    for _ in range(concurrent):
        if len(flying) == 64:
            flying.pop(0).get(timeout=30)
        flying.append(noop.delay())
    for result in flying:
        result.get(timeout=30)
    seconds = time.perf_counter() - begun
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    spent = cpu.ru_utime + cpu.ru_stime - before
    print(json.dumps({"p50_ms": statistics.median(trips), "jobs_per_s": concurrent / seconds, "cpu_s": spent}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
