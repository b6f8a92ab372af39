//! Whatever happens, in whatever order: the invariants hold, and every call ends.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::{
    Call, ClipId, Command, Config, Event, PlaybackId, Progress, State, TurnId, UtteranceId,
    invariants::Invariants,
};

/// An event that refers to the newest turn, clip and playback, or to older ones.
fn event(latest: (u32, u32, u32)) -> impl Fn(&(u8, u8)) -> Event {
    move |(kind, back)| {
        let (turn, clip, playback) = latest;
        let back = u32::from(*back);
        let turn = TurnId(turn.saturating_sub(back));
        let clip = ClipId(clip.saturating_sub(back));
        let playback = PlaybackId(playback.saturating_sub(back));
        let progress = |progress| Event::TurnProgressed { turn, progress };
        match kind % 24 {
            0 => Event::Answered,
            1 | 2 => Event::SpeechStarted,
            3 => Event::SpeechAbandoned,
            4 => Event::SpeechEnded,
            5 | 6 => Event::UtteranceEnded { utterance: UtteranceId(back) },
            7 => Event::PartialHeard { text: "so far".into() },
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
}

impl Run {
    fn take_commands(&mut self) {
        while let Some(command) = self.call.poll_command() {
            self.invariants
                .check_command(self.now, &command)
                .unwrap_or_else(|rule| panic!("{rule}: {command:?}"));
            match command {
                Command::StartTurn(request) => self.latest.0 = request.turn.0,
                Command::Synthesize { clip, .. } => self.latest.1 = clip.0,
                Command::Play { playback, .. } => self.latest.2 = playback.0,
                _ => {}
            }
        }
        self.call.handle_timeout(self.now);
        while let Some(command) = self.call.poll_command() {
            self.invariants
                .check_command(self.now, &command)
                .unwrap_or_else(|rule| panic!("{rule}: {command:?}"));
        }
        self.invariants.check_call(&self.call, self.now).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_a_rule_and_every_call_ends(
        steps in proptest::collection::vec(((0_u8..24, 0_u8..4), 0_u64..3_000), 1..120),
        can_transfer: bool,
    ) {
        #[expect(clippy::disallowed_methods, reason = "a test needs one instant to count from")]
        let now = Instant::now();
        let config = Config { can_transfer, max_call: Duration::from_mins(5), ..Config::default() };
        let mut run = Run { call: Call::answer(now, config), invariants: Invariants::default(), latest: (0, 0, 0), now };
        run.call.handle(now, Event::Answered);
        run.take_commands();
        for (what, wait) in steps {
            run.now += Duration::from_millis(wait);
            run.call.handle_timeout(run.now);
            run.take_commands();
            let event = event(run.latest)(&what);
            if let Event::PlaybackFinished { playback } | Event::PlaybackFailed { playback } = &event {
                run.invariants.playback_over(*playback);
            }
            run.call.handle(run.now, event);
            run.take_commands();
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
    }
}
