// Holds a call: asks what a WAV file says, and keeps what is heard.

import { readFile, writeFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { show } from "./events.js";
import { AudioEncoding, AudioFormatSchema } from "./gen/voice/audio/v1/audio_pb.js";
import { Activity, PlaybackKind } from "./gen/voice/relay/v1/call_pb.js";
import { ConverseRequestSchema, RelayService } from "./gen/voice/relay/v1/relay_service_pb.js";

type Request = MessageInitShape<typeof ConverseRequestSchema>;

/** Where the conversation is. */
interface Progress {
  isGreeted: boolean;
  isAnswering: boolean;
  isAnswered: boolean;
}

/** Asks what a WAV file says (16 bits, mono; 8, 16 or 24 kHz), and writes all that is heard into another one. */
export async function converse(relay: Client<typeof RelayService>, question: string, heard: string): Promise<void> {
  const { rate, samples } = parseWav(await readFile(question));
  const progress: Progress = { isGreeted: false, isAnswering: false, isAnswered: false };
  const audio: Uint8Array[] = [];
  for await (const { payload } of relay.converse(speak(rate, samples, progress))) {
    if (payload.case === "audio") audio.push(payload.value);
    if (payload.case !== "event") continue;
    const { event } = payload.value;
    show(payload.value);
    progress.isAnswering ||= event.case === "playbackStarted" && event.value.kind === PlaybackKind.REPLY;
    if (event.case === "stateChanged" && event.value.activity === Activity.LISTENING) {
      if (progress.isAnswering) progress.isAnswered = true;
      else progress.isGreeted = true;
    }
  }
  await writeFile(heard, toWav(rate, Buffer.concat(audio)));
}

/**
 * What the caller sends: the configuration, then a tenth of a second at a time, as a microphone gives it. He is silent
 * until he has been greeted, speaks, listens, and hangs up.
 */
async function* speak(rate: number, speech: Buffer, progress: Progress): AsyncGenerator<Request> {
  const format = create(AudioFormatSchema, { encoding: AudioEncoding.LINEAR16, sampleRateHertz: rate });
  yield { payload: { case: "config", value: { format, wantsEvents: true } } };
  const size = Math.floor(rate / 10) * 2;
  for (let due = performance.now(); !progress.isAnswered; ) {
    const piece = Buffer.alloc(size);
    if (progress.isGreeted) speech = speech.subarray(speech.copy(piece));
    yield { payload: { case: "audio", value: { audio: piece } } };
    due += 100;
    await setTimeout(Math.max(0, due - performance.now()));
  }
}

function parseWav(file: Buffer): { rate: number; samples: Buffer } {
  let rate = 0;
  for (let at = 12; at + 8 <= file.length; ) {
    const size = Math.min(file.readUInt32LE(at + 4), file.length - at - 8);
    const chunk = file.subarray(at + 8, at + 8 + size);
    const name = file.toString("latin1", at, at + 4);
    if (name === "fmt ") {
      rate = chunk.readUInt32LE(4);
      if (chunk.readUInt16LE(2) !== 1 || chunk.readUInt16LE(14) !== 16) throw new Error("not 16 bits, mono");
    }
    if (name === "data") return { rate, samples: chunk };
    at += 8 + size + (size % 2);
  }
  throw new Error("not a WAV file");
}

function toWav(rate: number, samples: Buffer): Buffer {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + samples.length, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(rate, 24);
  header.writeUInt32LE(rate * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(samples.length, 40);
  return Buffer.concat([header, samples]);
}
