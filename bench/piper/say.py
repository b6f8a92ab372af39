"""piper-tts as a long-lived process: speaks each line of stdin, and says when its first sound is there and how much came.

    python say.py VOICE.onnx
"""

import sys

from piper import PiperVoice

voice = PiperVoice.load(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    samples = 0
    for chunk in voice.synthesize(line.strip()):
        if not samples:
            print("first", flush=True)
        samples += len(chunk.audio_int16_bytes) // 2
    print(samples, flush=True)
