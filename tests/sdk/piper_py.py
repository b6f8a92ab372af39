"""What piper-tts makes of texts: one line of JSON for each line of stdin, a list of its sentences.

    python piper_py.py VOICE.onnx SPOKEN

A sentence has its phoneme `ids`; those of the first SPOKEN lines have their sound as `pcm` too, 32-bit floats in base64,
without noise or normalisation.
"""

import base64
import json
import sys

from piper import PiperVoice, SynthesisConfig

voice = PiperVoice.load(sys.argv[1])
plain = SynthesisConfig(noise_scale=0.0, noise_w_scale=0.0, normalize_audio=False)
for number, line in enumerate(sys.stdin):
    sentences = []
    for phonemes in voice.phonemize(line.strip()):
        ids = voice.phonemes_to_ids(phonemes)
        sentences.append({"ids": ids})
        if number < int(sys.argv[2]):
            sound = voice.phoneme_ids_to_audio(ids, plain)
            sentences[-1]["pcm"] = base64.b64encode(sound.tobytes()).decode()
    print(json.dumps(sentences), flush=True)
