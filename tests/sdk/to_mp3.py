"""Makes an MP3 of a mono 16-bit WAV. Usage: to_mp3.py IN.wav OUT.mp3"""

import sys
import wave

import lameenc

with wave.open(sys.argv[1]) as wav, open(sys.argv[2], "wb") as mp3:
    encoder = lameenc.Encoder()
    encoder.set_channels(1)
    encoder.set_in_sample_rate(wav.getframerate())
    encoder.set_bit_rate(64)
    encoder.silence()
    mp3.write(encoder.encode(wav.readframes(wav.getnframes())) + encoder.flush())
