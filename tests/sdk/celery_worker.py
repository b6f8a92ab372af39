"""A stock Celery worker, as a team may have one already. Run by `celery -A celery_worker worker`."""

import os

from celery import Celery

app = Celery(broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app.conf.task_default_queue = os.environ["JOB_QUEUE"]


@app.task(name="get_llm_response_task")
def get_llm_response_task(call_id, recording_url, conversation_history):
    assert call_id and recording_url.startswith("http"), (call_id, recording_url)
    turns = sum(message["role"] == "user" for message in conversation_history)
    return {"llm_response": "A python answers, turn %s." % ("two" if turns else "one"), "user_transcript": "what was said"}
