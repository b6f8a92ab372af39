//! Whatever happens, in whatever order: the invariants hold, and every call ends.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::timeline::asked;
use crate::{
    Answerer, Call, ClipId, Command, Config, DialFailure, Event, Notice, PlaybackId, Progress, Recogniser,
    State, Tool, TransferFailure, TurnId, UtteranceId, Voicemail, invariants::Invariants,
};

/// An event that refers to the newest turn, clip and playback, or to older ones. A line gives each utterance an id of its own.
fn event(latest: (u32, u32, u32), utterance: UtteranceId, now: Instant) -> impl Fn(&(u8, u8)) -> Event {
    move |(kind, back)| {
        let (turn, clip, playback) = latest;
        let back = u32::from(*back);
        let turn = TurnId(turn.saturating_sub(back));
        let clip = ClipId(clip.saturating_sub(back));
        let playback = PlaybackId(playback.saturating_sub(back));
        let progress = |progress| Event::TurnProgressed { turn, progress };
        let tool = match back {
            0 => Tool::External,
            1 => Tool::EndCall,
            2 => Tool::CollectDigits { prompt: "Which number?".into(), most: 1 },
            _ if kind % 2 == 0 => Tool::TakeMessage { prompt: "Please speak.".into() },
            _ => Tool::Transfer {
                target: "sales".into(),
                announcement: (kind % 3 == 0).then(|| "A call.".into()),
            },
        };
        match kind % 35 {
            0 => Event::Answered,
            1 | 2 => Event::SpeechStarted,
            3 => Event::SpeechAbandoned,
            4 => Event::SpeechEnded,
            5 | 6 => Event::UtteranceEnded { utterance: UtteranceId(back) },
            7 => Event::PartialHeard {
                text: ["so far", "okay", "and", ""][back as usize % 4].into(),
                stable: [6, 0, 3, 0][back as usize % 4],
                source: if back == 1 { Recogniser::Worker } else { Recogniser::Line },
                completeness: None,
            },
            8 => progress(Progress::Started),
            9 => progress(Progress::Fetched),
            10 => progress(Progress::Transcript("what was said".into())),
            11 | 12 => progress(Progress::ReplyDelta("A clause. Another one, ".into())),
            13 => progress(Progress::ReplyFinished),
            14 => progress(Progress::NothingSaid),
            15 => Event::TurnFailed { turn, reason: "X".into() },
            16 | 17 => Event::ClipReady { clip, duration: Duration::from_secs(1) },
            18 => Event::ClipFailed { clip },
            19 => Event::PlaybackStarted { playback },
            20 | 21 => Event::PlaybackFinished { playback },
            22 => Event::PlaybackFailed { playback },
            23 => match back {
                0 => Event::DialFailed { reason: DialFailure::Busy },
                1 => Event::MachineReady,
                2 => Event::TransferFailed { reason: TransferFailure::NoAnswer },
                _ => Event::AnswererDetected { answerer: Answerer::Machine },
            },
            24 => match back {
                0 => Event::TransferConnected,
                1 => Event::TargetAnswered,
                2 => Event::TargetTold,
                _ => Event::DigitsSent,
            },
            25 | 26 => Event::SpeechPaused {
                utterance,
                silent_since: now,
                voiced: Duration::from_millis(u64::from(back) * 150),
            },
            27 => Event::SpeechResumed,
            28 => {
                let text = ["", "Mhm.", "Wait, stop.", "My number is"][back as usize % 4].into();
                Event::Transcribed { utterance: UtteranceId(back), text }
            }
            29 => Event::ClipGrew {
                clip,
                duration: Duration::from_millis(400 * u64::from(back)),
                is_complete: back == 3,
                silences: Vec::new(),
            },
            30 => Event::PlaybackReached { playback, position: Duration::from_millis(u64::from(back) * 300) },
            31 => progress(Progress::ToolsAsked(vec![asked("1", tool), asked("2", Tool::External)])),
            32 => progress(Progress::ToolsAsked(vec![asked("1", tool)])),
            33 => Event::ToolAnswered {
                turn,
                tool_call: if back > 1 { "1".into() } else { "2".into() },
                answer: Ok("{}".into()),
            },
            _ => match back {
                0 => Event::EndRequested,
                1 => Event::DrainStarted,
                2 => Event::HungUp,
                _ => Event::DigitPressed { digit: '5' },
            },
        }
    }
}

struct Run {
    call: Call,
    invariants: Invariants,
    latest: (u32, u32, u32),
    now: Instant,
    /// Things accepted to be said, less those that are over with.
    open_says: usize,
}

impl Run {
    /// Something that the outside asks.
    fn ask(&mut self, kind: u8, interrupts: bool) {
        let now = self.now;
        match kind {
            0 => {
                let said = self.call.say(now, "A word from us. Another one.", interrupts);
                self.open_says += usize::from(said.is_ok());
            }
            1 => drop(self.call.send_digits(now, "1w2".into())),
            2 => drop(self.call.instruct("Be brief.".into())),
            _ => drop(self.call.transfer(now, "+15553330000".into(), interrupts.then(|| "A call.".into()))),
        }
        self.take_commands();
    }

    fn take_commands(&mut self) {
        while let Some(command) = self.call.poll_command() {
            self.invariants
                .check_command(self.now, &command)
                .unwrap_or_else(|rule| panic!("{rule}: {command:?}"));
            match command {
                Command::StartTurn(request) => self.latest.0 = request.turn.0,
                Command::Synthesize { clip, .. } => self.latest.1 = clip.0,
                Command::Play { playback, .. } => self.latest.2 = playback.0,
                Command::Report(Notice::SayEnded { .. }) => self.open_says -= 1,
                _ => {}
            }
        }
        self.call.handle_timeout(self.now);
        while let Some(command) = self.call.poll_command() {
            self.invariants
                .check_command(self.now, &command)
                .unwrap_or_else(|rule| panic!("{rule}: {command:?}"));
            if matches!(command, Command::Report(Notice::SayEnded { .. })) {
                self.open_says -= 1;
            }
        }
        self.invariants.check_call(&self.call, self.now).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_a_rule_and_every_call_ends(
        steps in proptest::collection::vec(((0_u8..35, 0_u8..4), prop_oneof![0_u64..400, 0_u64..3_000]), 1..120),
        requests in proptest::collection::vec((0_usize..120, 0_u8..8, any::<bool>()), 0..8),
        can_transfer: bool,
        is_placed: bool,
        speculation: bool,
        can_seek: bool,
    ) {
        #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
        let now = Instant::now();
        let config = Config {
            can_transfer,
            speculation,
            can_seek,
            max_call: Duration::from_mins(5),
            ..Config::default()
        };
        let call = if is_placed {
            let voicemail = Voicemail::LeaveMessage("Call us back.".into());
            Call::place(now, config, voicemail, Duration::from_secs(30))
        } else {
            Call::answer(now, config)
        };
        let mut run = Run { call, invariants: Invariants::default(), latest: (0, 0, 0), now, open_says: 0 };
        run.call.handle(now, Event::Answered);
        run.take_commands();
        let mut utterances = 0;
        for (n, (what, wait)) in steps.into_iter().enumerate() {
            run.now += Duration::from_millis(wait);
            run.call.handle_timeout(run.now);
            run.take_commands();
            let event = event(run.latest, UtteranceId(utterances), run.now)(&what);
            utterances += u32::from(event == Event::SpeechStarted);
            if let Event::PlaybackFinished { playback } | Event::PlaybackFailed { playback } = &event {
                run.invariants.playback_over(*playback);
            }
            run.call.handle(run.now, event);
            run.take_commands();
            for (_, kind, interrupts) in requests.iter().filter(|(at, _, _)| *at == n) {
                run.ask(kind % 4, *interrupts);
            }
        }
        // Left alone, it ends by itself: nobody is kept in silence for ever.
        let mut left = 10_000;
        while let Some(deadline) = run.call.next_timeout() {
            run.now = run.now.max(deadline);
            run.call.handle_timeout(run.now);
            run.take_commands();
            left -= 1;
            prop_assert!(left > 0, "the call goes round in circles: {:?}", run.call);
        }
        prop_assert!(matches!(run.call.state(), State::Ended { .. }), "{:?}", run.call.state());
        prop_assert_eq!(run.open_says, 0, "whoever wants something said is told what became of it");
    }
}
