"""The same jobs as a test has made otherwise, by stock Celery. Usage: golden_py.py REDIS_URL QUEUE RECORDING_URL ETA EXPIRES"""

import datetime
import sys

from celery import Celery

redis_url, queue, recording, eta, expires = sys.argv[1:6]
app = Celery(broker=redis_url, backend=redis_url)
TASK = "get_llm_response_task"
history = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "h\u00e9 \u4f60"}]


def at(seconds):
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc)


app.send_task(TASK, args=["call-1", recording, []], task_id="plain", queue=queue)
app.send_task(
    TASK, args=["call-1", recording, history], task_id="full", queue=queue, priority=7, eta=at(eta), expires=at(expires),
    headers={"voice_speech_start_ms": 250},
)
app.send_task(TASK, args=[recording, []], task_id="two", queue=queue)
