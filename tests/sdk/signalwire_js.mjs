// Drives the SignalWire simulator with the vendor's JavaScript SDK, over a plain WebSocket.
//
// Usage: node signalwire_js.mjs RELAY_URL HTTP_URL CALLER_WAV CALLER_TEXT
// Exit code 0 if every value is as expected.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { setTimeout as pause } from 'node:timers/promises'

import { SignalWire } from '@signalwire/realtime-api'

const [relayUrl, httpUrl, callerWav, callerText] = process.argv.slice(2)
const CLIP_MS = 1000

async function control(method, path, body, contentType = 'application/json') {
  const payload = body === undefined || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const response = await fetch(httpUrl + path, { method, body: payload, headers: { 'content-type': contentType } })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return JSON.parse(text)
}

async function say(callId) {
  const path = `/sim/calls/${callId}/say?text=${encodeURIComponent(callerText)}`
  return (await control('POST', path, await readFile(callerWav), 'audio/wav')).duration_ms
}

function tone() {
  const samples = 8 * CLIP_MS
  const file = Buffer.alloc(44 + 2 * samples)
  file.write('RIFF', 0)
  file.writeUInt32LE(36 + 2 * samples, 4)
  file.write('WAVEfmt ', 8)
  file.writeUInt32LE(16, 16)
  file.writeUInt16LE(1, 20)
  file.writeUInt16LE(1, 22)
  file.writeUInt32LE(8000, 24)
  file.writeUInt32LE(16000, 28)
  file.writeUInt16LE(2, 32)
  file.writeUInt16LE(16, 34)
  file.write('data', 36)
  file.writeUInt32LE(2 * samples, 40)
  for (let n = 0; n < samples; n += 1) {
    file.writeInt16LE(Math.round(8000 * Math.sin((n * 440 * 2 * Math.PI) / 8000)), 44 + 2 * n)
  }
  return file
}

async function fetchWhenThere(url) {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const response = await fetch(url)
    if (response.status === 200) {
      assert.equal(response.headers.get('content-type'), 'audio/wav')
      return Buffer.from(await response.arrayBuffer())
    }
    assert.equal(response.status, 404)
    await pause(20)
  }
  throw new Error('the recording never appeared')
}

async function converse(call, clipUrl) {
  assert.equal(call.direction, 'inbound')
  assert.equal(call.context, 'js-lab')
  assert.equal(call.from, '+15551110000')
  await call.answer()
  assert.equal(call.state, 'answered')

  // A whole clip is played in its own time.
  const started = performance.now()
  const played = await call.playAudio({ url: clipUrl }).onEnded()
  const took = performance.now() - started
  assert.equal(played.state, 'finished')
  assert.ok(took > CLIP_MS - 50, `playing took ${took} ms`)

  // Pause, resume and stop; the SDK waits for the events.
  const playback = await call.playTTS({ text: 'one two three four five six seven' }).onStarted()
  assert.equal(playback.state, 'playing')
  await playback.pause()
  await playback.resume()
  await playback.stop()
  assert.equal((await playback.ended()).state, 'finished')

  // Tape and ear together.
  const tape = await call
    .recordAudio({ format: 'wav', direction: 'speak', beep: false, initialTimeout: 0, endSilenceTimeout: 0, terminators: '' })
    .onStarted()
  assert.equal(tape.state, 'recording')
  let sawInput = false
  const partials = []
  const ear = await call
    .collect({
      speech: { endSilenceTimeout: 0.5, speechTimeout: 60, language: 'en-US' },
      partialResults: true,
      sendStartOfInput: true,
      startInputTimers: false,
      listen: {
        onInputStarted: () => { sawInput = true },
        onUpdated: (collect) => { partials.push(collect.text) },
      },
    })
    .onStarted()
  const saidMs = await say(call.id)
  const heard = await ear.ended()
  assert.equal(heard.type, 'speech')
  assert.equal(heard.text, callerText)
  assert.ok(sawInput, 'no start of input')
  assert.ok(partials.length > 0 && partials.every((text) => callerText.startsWith(text)), partials.join('|'))
  await tape.stop()
  const recorded = await tape.ended()
  assert.equal(recorded.state, 'finished')
  const file = await fetchWhenThere(recorded.url)
  assert.equal(file.length, recorded.size)
  assert.ok(recorded.duration * 1000 > saidMs, `${recorded.duration} s recorded, ${saidMs} ms said`)

  // Digits answer a prompt.
  const prompt = await call
    .promptAudio({ url: clipUrl, digits: { max: 4, digitTimeout: 3, terminators: '#' } })
    .onStarted()
  await control('POST', `/sim/calls/${call.id}/digits`, { digits: '12#' })
  const pressed = await prompt.ended()
  assert.equal(pressed.digits, '12')
  assert.equal(pressed.terminator, '#')

  await collect(call, clipUrl)

  await call.sendDigits('12#')

  const peer = await call.connectPhone({ from: '+15552220000', to: '+15553330000', timeout: 30 })
  assert.ok(peer, 'no peer')
  assert.equal(call.connectState, 'connected')
  await call.disconnect()
  assert.equal(call.connectState, 'disconnected')

  await call.hangup()
  assert.equal(call.state, 'ended')
}

// Prompts and collects whose input is speech, keys, nothing, or a stop.
async function collect(call, clipUrl) {
  const long = Array(4).fill('please tell me what you would like to know').join(' ')
  const speech = { endSilenceTimeout: 0.5, language: 'en-US', hints: ['hours'] }
  const press = (digits) => control('POST', `/sim/calls/${call.id}/digits`, { digits })

  // Words answer a prompt, and cut it.
  const asked = await call.promptTTS({ text: long, speech, initialTimeout: 30 }).onStarted()
  await say(call.id)
  const heard = await asked.ended()
  assert.equal(heard.type, 'speech')
  assert.equal(heard.text, callerText)
  const view = await control('GET', `/sim/calls/${call.id}`)
  assert.equal(view.playbacks.at(-1).ended_by, 'input')

  // Nobody answers: the time to do so begins with the end of the prompt.
  const started = performance.now()
  const silent = await call.promptAudio({ url: clipUrl, digits: { max: 4 }, initialTimeout: 0.5 }).onStarted()
  assert.equal((await silent.ended()).type, 'no_input')
  assert.ok(performance.now() - started > CLIP_MS + 400)

  // A prompt has a volume, and can be stopped.
  const stopped = await call.promptTTS({ text: long, digits: { max: 4 }, initialTimeout: 30 }).onStarted()
  await stopped.setVolume(3)
  await stopped.stop()
  assert.equal((await stopped.ended()).type, 'no_input')

  // Keys without a prompt: ended by a terminator, by their number, by a pause.
  for (const [keys, digits, expected, terminator] of [
    ['42#', { max: 9, terminators: '#' }, '42', '#'],
    ['123', { max: 3 }, '123', undefined],
    ['7', { max: 3, digitTimeout: 0.3 }, '7', undefined],
  ]) {
    const collecting = await call.collect({ digits, initialTimeout: 30 }).onStarted()
    await press(keys)
    const pressed = await collecting.ended()
    assert.deepEqual([pressed.type, pressed.digits, pressed.terminator], ['digit', expected, terminator])
  }

  // A collect whose timers are not started waits.
  const waiting = await call.collect({ digits: { max: 1 }, initialTimeout: 0.2, startInputTimers: false }).onStarted()
  let isOver = false
  const over = waiting.ended().then((collected) => { isOver = true; return collected })
  await pause(600)
  assert.equal(isOver, false)
  await waiting.startInputTimers()
  assert.equal((await over).type, 'no_input')
}

// Calls a person, a machine, and people who do not answer.
async function dial(client) {
  await control('PUT', '/sim/telephones', {
    '+15550000011': { says_ms: 600 },
    '+15550000012': { says_ms: 2500, beep: true },
    '+15550000013': { does: 'busy' },
    '+15550000014': { does: 'no_answer' },
  })
  const phone = (to, timeout = 30) => ({ from: '+15552220000', to, timeout })
  for (const [to, type] of [['+15550000011', 'HUMAN'], ['+15550000012', 'MACHINE']]) {
    const call = await client.voice.dialPhone(phone(to))
    assert.equal(call.state, 'answered')
    assert.equal(call.direction, 'outbound')
    const detect = await call.amd({ timeout: 12 }).onStarted()
    assert.equal((await detect.ended()).type, 'machine')
    const { calls } = await control('GET', '/sim/calls')
    const leg = calls.find((leg) => leg.to === to)
    assert.equal(leg.detected[0], type)
    assert.equal(leg.detecting, null)
    await call.hangup()
    assert.equal(call.state, 'ended')
  }
  for (const to of ['+15550000013', '+15550000014']) {
    await assert.rejects(client.voice.dialPhone(phone(to, 1)))
  }
  const { calls } = await control('GET', '/sim/calls')
  const ends = calls.filter((call) => call.to.startsWith('+155500000')).map((call) => [call.to, call.end_reason])
  assert.deepEqual(Object.fromEntries(ends), {
    '+15550000011': 'hangup', '+15550000012': 'hangup', '+15550000013': 'busy', '+15550000014': 'noAnswer',
  })
}

const clips = createServer((_, response) => {
  response.writeHead(200, { 'content-type': 'audio/wav' })
  response.end(tone())
})
await new Promise((resolve) => clips.listen(0, '127.0.0.1', resolve))
const clipUrl = `http://127.0.0.1:${clips.address().port}/clip.wav`

const deadline = setTimeout(() => {
  console.error('no end after 280 s')
  process.exit(1)
}, 280_000)

try {
  const client = await SignalWire({ host: relayUrl, project: 'sim-project', token: 'sim-token' })
  const finished = new Promise((resolve, reject) => {
    client.voice
      .listen({ topics: ['js-lab'], onCallReceived: (call) => converse(call, clipUrl).then(resolve, reject) })
      .then(() => control('POST', '/sim/calls', { from: '+15551110000', to: '+15552220000', context: 'js-lab' }))
      .catch(reject)
  })
  await finished
  await dial(client)
  await client.disconnect()
  const { calls } = await control('GET', '/sim/calls')
  const mine = calls.filter((call) => call.context === 'js-lab')
  assert.deepEqual(mine.map((call) => [call.state, call.violations]), [['ended', []]])
  assert.deepEqual((await control('GET', '/sim/stats')).violations, [])
  console.log('@signalwire/realtime-api: ok')
  clearTimeout(deadline)
  process.exit(0)
} catch (error) {
  console.error(error)
  process.exit(1)
}
