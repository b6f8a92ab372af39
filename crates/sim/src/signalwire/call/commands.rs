//! Commands on a call: checked strictly, carried out at once.

use serde_json::{Value, json};

use super::{
    Call, State, World,
    bridge::{SendingDigits, dialling_ticks},
    collect::Collect,
    recording::{Recording, RecordingEnd},
    view::{CommandLog, RecordingLog},
};
use crate::signalwire::{
    params::{self, ControlId, Media, RecordFormat, parse},
    wire::Refusal,
};

/// Extra fields of a result.
pub(super) type Done = Result<Value, Refusal>;

impl Call {
    /// Carries out a command; the events that follow it are outputs.
    ///
    /// # Errors
    /// Why it is not carried out.
    pub(crate) fn command(&mut self, world: &World, method: &str, params: &Value) -> Done {
        self.now = world.now;
        let done = self.carry_out(world, method, params);
        let code = done.as_ref().map_or_else(Refusal::code, |_| "200".to_owned());
        if let Err(refusal) = &done
            && refusal.is_violation
        {
            self.violations.push(format!("{method}: {}", refusal.message));
        }
        let control_id = params.get("control_id");
        let fields = json!({ "method": method, "control_id": control_id, "code": code });
        self.note("command", fields);
        self.commands.push(CommandLog {
            at_ms: world.now.at_ms,
            method: method.into(),
            params: params.clone(),
            code,
        });
        done
    }

    fn carry_out(&mut self, world: &World, method: &str, params: &Value) -> Done {
        match self.state {
            State::Ended | State::Ending { .. } => return Err(Refusal::crossed("410", "the call has ended")),
            State::HandedOver => return Err(Refusal::crossed("404", "the call is not yours any more")),
            State::Created { .. } => return self.before_answer(method, params),
            State::Dialling if method == "calling.end" => return self.end_by_client(params),
            State::Dialling => return Err(Refusal::fault("400", "nobody has answered yet")),
            State::Answered => {}
        }
        match method {
            "calling.answer" => Err(Refusal::fault("409", "the call is answered already")),
            "calling.pass" => Err(Refusal::fault("400", "the call is answered, so it cannot be passed")),
            "calling.end" => self.end_by_client(params),
            "calling.play" => self.play(params),
            "calling.play.pause" => self.pause_play(params),
            "calling.play.resume" => self.resume_play(params),
            "calling.play.volume" => self.set_volume(params, "play", "CallPlayVolumeParams"),
            "calling.play.stop" => self.stop_play(params),
            "calling.record" => self.record(params),
            "calling.record.pause" => self.pause_record(params),
            "calling.record.resume" => self.resume_record(params),
            "calling.record.stop" => self.stop_record(params),
            "calling.collect" => self.start_collect(params),
            "calling.collect.stop" => self.stop_collect(params),
            "calling.collect.start_input_timers" => self.start_input_timers(params),
            "calling.play_and_collect" => self.play_and_collect(params),
            "calling.play_and_collect.stop" => self.stop_play_and_collect(params),
            "calling.play_and_collect.volume" => {
                self.set_volume(params, "play_and_collect", "CallPlayAndCollectVolumeParams")
            }
            "calling.send_digits" => self.send_digits(params),
            "calling.connect" => self.connect(world, params),
            "calling.disconnect" => self.disconnect(),
            "calling.stream" => self.start_stream(world, params),
            "calling.stream.stop" => self.stop_listening(params, "stream", "CallStreamStopParams"),
            "calling.tap" => self.start_tap(world, params),
            "calling.tap.stop" => self.stop_listening(params, "tap", "CallTapStopParams"),
            "calling.detect" => self.detect(params),
            "calling.detect.stop" => self.stop_detect(params),
            "calling.transfer" => self.transfer(params),
            unknown => Err(Refusal::protocol(-32_601, format!("method not found: {unknown}"))),
        }
    }

    fn before_answer(&mut self, method: &str, params: &Value) -> Done {
        match method {
            "calling.answer" => {
                self.state = State::Answered;
                self.answered_at_ms = Some(self.now.at_ms);
                self.state_event("answered", None);
                self.note("call_answered", json!({}));
                Ok(json!({}))
            }
            "calling.end" => self.end_by_client(params),
            "calling.pass" => {
                let session = self.owner.take().unwrap_or_default();
                self.note("call_passed", json!({ "session": session }));
                let at = self.ticks + super::OFFER_AGAIN_TICKS;
                self.state = State::Created { offer_again: Some((at, session.clone())) };
                let passed_by = Some(super::Passed { session, may_come_back: false });
                self.outputs.push_back(super::Output::Offer { passed_by });
                Ok(json!({}))
            }
            _ => Err(Refusal::fault("400", "the call is not answered")),
        }
    }

    fn end_by_client(&mut self, params: &Value) -> Done {
        let params::End { reason } = parse("CallEndParams", params)?;
        self.state = State::Ending { reason };
        let name = serde_json::to_value(reason).expect("a plain enum");
        self.state_event("ending", name.as_str());
        Ok(json!({}))
    }

    // --- play

    fn play(&mut self, params: &Value) -> Done {
        let play: params::Play = parse("CallPlayParams", params)?;
        check_media(&play.play, "CallPlayParams")?;
        if self.playback.is_some() {
            return Err(Refusal::fault("409", "a play is running on this call"));
        }
        self.register(&play.control_id, "play")?;
        self.start_playback(play.control_id.clone(), play.play, play.times, play.volume);
        Ok(json!({ "control_id": play.control_id }))
    }

    fn pause_play(&mut self, params: &Value) -> Done {
        let id = self.running_play(params, "play", "CallPlayPauseParams")?;
        if let Some(playback) = self.playback.as_mut().filter(|playback| !playback.is_paused) {
            playback.is_paused = true;
            self.play_event(&id, "paused");
        }
        Ok(json!({ "control_id": id }))
    }

    fn resume_play(&mut self, params: &Value) -> Done {
        let id = self.running_play(params, "play", "CallPlayResumeParams")?;
        if let Some(playback) = self.playback.as_mut().filter(|playback| playback.is_paused) {
            playback.is_paused = false;
            self.play_event(&id, "playing");
        }
        Ok(json!({ "control_id": id }))
    }

    fn set_volume(&mut self, params: &Value, kind: &'static str, class: &str) -> Done {
        let id = self.running_play(params, kind, class)?;
        let set: params::SetVolume = parse(class, params)?;
        if let Some(playback) = &mut self.playback {
            playback.set_volume(set.volume);
        }
        Ok(json!({ "control_id": id }))
    }

    fn stop_play(&mut self, params: &Value) -> Done {
        let id = self.running_play(params, "play", "CallPlayStopParams")?;
        self.end_playback("stop", "finished");
        Ok(json!({ "control_id": id }))
    }

    fn running_play(&self, params: &Value, kind: &'static str, class: &str) -> Result<ControlId, Refusal> {
        let running = self.playback.as_ref().map(|playback| &playback.control_id);
        self.find(params, kind, class, running)
    }

    // --- record

    fn record(&mut self, params: &Value) -> Done {
        let params::Record { control_id, record } = parse("CallRecordParams", params)?;
        let options = record.audio;
        if !(0.0..=100.0).contains(&options.input_sensitivity) {
            return Err(Refusal::invalid_params("CallRecordParams", "input_sensitivity is beyond 0 to 100"));
        }
        if options.stereo || options.format == RecordFormat::Mp3 {
            return Err(Refusal::crossed("400", "only mono WAV recordings are simulated"));
        }
        if self.recording.is_some() {
            return Err(Refusal::fault("409", "a record is running on this call"));
        }
        self.register(&control_id, "record")?;
        let id = uuid::Uuid::new_v4().to_string();
        let url = self.recording_url(&id);
        self.recordings.push(RecordingLog {
            control_id: control_id.clone(),
            url: url.clone(),
            state: "recording",
            started_at_ms: self.now.at_ms,
            finished_at_ms: None,
            duration_ms: 0.0,
        });
        let event = json!({ "control_id": control_id, "state": "recording", "record": { "audio": options } });
        self.recording = Some(Recording::new(control_id.clone(), id, options, self.now.unix));
        self.event("calling.call.record", "recording", event);
        self.note("recording_started", json!({ "control_id": control_id, "url": url }));
        Ok(json!({ "control_id": control_id, "url": url }))
    }

    fn pause_record(&mut self, params: &Value) -> Done {
        let pause: params::PauseRecord = parse("CallRecordPauseParams", params)?;
        let id = self.running_record(params, "CallRecordPauseParams")?;
        if let Some(recording) = self.recording.as_mut().filter(|recording| recording.paused.is_none()) {
            recording.paused = Some(pause.behavior);
            let event = json!({ "control_id": pause.control_id, "state": "paused", "pause_behavior": pause.behavior });
            self.event("calling.call.record", "paused", event);
        }
        Ok(json!({ "control_id": id }))
    }

    fn resume_record(&mut self, params: &Value) -> Done {
        let id = self.running_record(params, "CallRecordResumeParams")?;
        if let Some(recording) = self.recording.as_mut().filter(|recording| recording.paused.is_some()) {
            recording.paused = None;
            self.event("calling.call.record", "recording", json!({ "control_id": id, "state": "recording" }));
        }
        Ok(json!({ "control_id": id }))
    }

    fn stop_record(&mut self, params: &Value) -> Done {
        let id = self.running_record(params, "CallRecordStopParams")?;
        self.end_recording(RecordingEnd::Finished);
        Ok(json!({ "control_id": id }))
    }

    fn running_record(&self, params: &Value, class: &str) -> Result<ControlId, Refusal> {
        self.find(params, "record", class, self.recording.as_ref().map(|recording| &recording.control_id))
    }

    // --- collect

    fn start_collect(&mut self, params: &Value) -> Done {
        let params::Collect { control_id, what } = parse("CallCollectParams", params)?;
        check_collect(&what, "CallCollectParams")?;
        if self.collect.is_some() {
            return Err(Refusal::fault("409", "a collect is running on this call"));
        }
        self.register(&control_id, "collect")?;
        self.note("collect_started", json!({ "control_id": control_id }));
        self.collect = Some(Collect::new(control_id.clone(), what));
        Ok(json!({ "control_id": control_id }))
    }

    fn stop_collect(&mut self, params: &Value) -> Done {
        let id = self.running_collect(params, "collect", "CallCollectStopParams")?;
        let stopped = self.collect.as_ref().map(Collect::stopped);
        self.take_collected(stopped.into_iter().collect());
        Ok(json!({ "control_id": id }))
    }

    fn start_input_timers(&mut self, params: &Value) -> Done {
        // A prompt's collect has no such command of its own.
        let running = self.collect.as_ref().map(|collect| &collect.control_id);
        let kind = running.and_then(|id| self.controls.get(id)).copied().unwrap_or("collect");
        let id = self.running_collect(params, kind, "CallCollectStartInputTimersParams")?;
        if let Some(collect) = &mut self.collect {
            collect.start_timers();
        }
        Ok(json!({ "control_id": id }))
    }

    fn running_collect(&self, params: &Value, kind: &'static str, class: &str) -> Result<ControlId, Refusal> {
        self.find(params, kind, class, self.collect.as_ref().map(|collect| &collect.control_id))
    }

    fn play_and_collect(&mut self, params: &Value) -> Done {
        let params::PlayAndCollect { control_id, play, mut collect, volume } =
            parse("CallPlayAndCollectParams", params)?;
        check_media(&play, "CallPlayAndCollectParams")?;
        check_collect(&collect, "CallPlayAndCollectParams")?;
        if self.playback.is_some() || self.collect.is_some() {
            return Err(Refusal::fault("409", "a play or a collect is running on this call"));
        }
        self.register(&control_id, "play_and_collect")?;
        // The timers wait for the end of the prompt.
        collect.start_input_timers = false;
        self.collect = Some(Collect::new(control_id.clone(), collect));
        self.start_playback(control_id.clone(), play, 1, volume);
        Ok(json!({ "control_id": control_id }))
    }

    fn stop_play_and_collect(&mut self, params: &Value) -> Done {
        let id = self.running_collect(params, "play_and_collect", "CallPlayAndCollectStopParams")?;
        if self.playback.as_ref().is_some_and(|playback| playback.control_id == id) {
            self.end_playback("stop", "finished");
        }
        let stopped = self.collect.as_ref().map(Collect::stopped);
        self.take_collected(stopped.into_iter().collect());
        Ok(json!({ "control_id": id }))
    }

    // --- digits

    fn send_digits(&mut self, params: &Value) -> Done {
        let params::SendDigits { control_id, digits } = parse("CallSendDigitsParams", params)?;
        let Some(ticks) = dialling_ticks(&digits) else {
            return Err(Refusal::invalid_params("CallSendDigitsParams", "digits are 0-9 * # A-D w W"));
        };
        if self.sending.is_some() {
            return Err(Refusal::fault("409", "digits are being sent on this call"));
        }
        self.register(&control_id, "send_digits")?;
        self.note("digits_sent", json!({ "control_id": control_id, "digits": digits }));
        self.sending = Some(SendingDigits { control_id: control_id.clone(), until: self.ticks + ticks });
        Ok(json!({ "control_id": control_id }))
    }

    // --- control ids

    pub(super) fn register(&mut self, control_id: &ControlId, kind: &'static str) -> Result<(), Refusal> {
        if self.controls.insert(control_id.clone(), kind).is_some() {
            return Err(Refusal::fault("409", "the control_id was used before"));
        }
        Ok(())
    }

    /// The running operation that a command is about.
    pub(super) fn find(
        &self,
        params: &Value,
        kind: &'static str,
        class: &str,
        running: Option<&ControlId>,
    ) -> Result<ControlId, Refusal> {
        let params::Operation { control_id } = parse(class, params)?;
        if self.controls.get(&control_id) != Some(&kind) {
            return Err(Refusal::fault("404", format!("no {kind} was ever started with this control_id")));
        }
        if running != Some(&control_id) {
            return Err(Refusal::crossed("404", format!("this {kind} has finished")));
        }
        Ok(control_id)
    }
}

fn check_media(media: &[Media], class: &str) -> Result<(), Refusal> {
    if media.is_empty() {
        return Err(Refusal::invalid_params(class, "nothing to play"));
    }
    for item in media {
        let problem = match item {
            Media::Audio { url } if !url.starts_with("http://") && !url.starts_with("https://") => {
                Some("url is not http or https")
            }
            Media::Tts { text } if text.trim().is_empty() => Some("text is empty"),
            Media::Audio { .. } | Media::Tts { .. } | Media::Silence { .. } | Media::Ringtone { .. } => None,
        };
        if let Some(problem) = problem {
            return Err(Refusal::invalid_params(class, problem));
        }
    }
    Ok(())
}

fn check_collect(what: &params::CollectWhat, class: &str) -> Result<(), Refusal> {
    if what.digits.is_none() && what.speech.is_none() {
        return Err(Refusal::invalid_params(class, "neither digits nor speech"));
    }
    if what.digits.as_ref().is_some_and(|digits| digits.max == 0) {
        return Err(Refusal::invalid_params(class, "digits.max is zero"));
    }
    Ok(())
}
