"""What piper-tts makes of texts: one line of JSON for each line of stdin, a list of its sentences.

    python piper_py.py VOICE.onnx

A sentence has its phoneme `ids` and its sound as `pcm`, 32-bit floats in base64, without noise or normalisation.
"""

import base64
import json
import sys

from piper import PiperVoice, SynthesisConfig

voice = PiperVoice.load(sys.argv[1])
plain = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0, normalize_audio=False)
for line in sys.stdin:
    chunks = voice.synthesize(line.strip(), plain)
    sentences = [
        {"ids": chunk.phoneme_ids, "pcm": base64.b64encode(chunk.audio_float_array.tobytes()).decode()}
        for chunk in chunks
    ]
    print(json.dumps(sentences), flush=True)
