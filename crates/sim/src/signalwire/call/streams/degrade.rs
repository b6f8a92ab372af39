//! A bad network between the platform and whoever streams: every frame is on time, late, lost or doubled.

use crate::signalwire::faults::StreamFaults;

/// The fate of one stream's frames; the same faults give the same fates.
#[derive(Debug)]
pub(super) struct Degrade {
    random: fastrand::Rng,
    /// No frame that keeps its place goes out before this.
    last_due_ms: f64,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fate {
    /// It never goes out.
    Lost,
    /// It goes out this much later, in its place.
    InOrder { delay_ms: f64, is_doubled: bool },
    /// It goes out this much later, behind those that follow it.
    Overtaken { delay_ms: f64 },
}

impl Degrade {
    pub(super) fn new() -> Self {
        Self { random: fastrand::Rng::with_seed(7), last_due_ms: 0.0 }
    }

    pub(super) fn fate(&mut self, faults: &StreamFaults, now_ms: f64) -> Fate {
        let is_hit = |random: &mut fastrand::Rng, percent: u8| percent > 0 && random.u8(0..100) < percent;
        if is_hit(&mut self.random, faults.lose_percent) {
            return Fate::Lost;
        }
        if is_hit(&mut self.random, faults.late_percent) {
            return Fate::Overtaken { delay_ms: faults.late_ms as f64 };
        }
        let jitter = if faults.jitter_ms > 0 { self.random.u64(0..=faults.jitter_ms) as f64 } else { 0.0 };
        self.last_due_ms = self.last_due_ms.max(now_ms + jitter);
        let is_doubled = is_hit(&mut self.random, faults.double_percent);
        Fate::InOrder { delay_ms: self.last_due_ms - now_ms, is_doubled }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_keep_their_order_within_jitter_and_the_rest_happens_as_often_as_told() {
        let faults = StreamFaults {
            jitter_ms: 60,
            lose_percent: 10,
            double_percent: 20,
            late_percent: 5,
            late_ms: 90,
            ..StreamFaults::default()
        };
        let mut degrade = Degrade::new();
        let (mut last, mut lost, mut doubled, mut late) = (0.0, 0, 0, 0);
        for n in 0..1_000 {
            let now_ms = f64::from(n) * 20.0;
            match degrade.fate(&faults, now_ms) {
                Fate::Lost => lost += 1,
                Fate::Overtaken { delay_ms } => late += usize::from(delay_ms > 89.0),
                Fate::InOrder { delay_ms, is_doubled } => {
                    assert!((0.0..=60.0).contains(&delay_ms) && now_ms + delay_ms >= last);
                    last = now_ms + delay_ms;
                    doubled += usize::from(is_doubled);
                }
            }
        }
        assert!((60..140).contains(&lost) && (120..220).contains(&doubled) && (25..80).contains(&late));
        let clean = Degrade::new().fate(&StreamFaults::default(), 5.0);
        assert_eq!(clean, Fate::InOrder { delay_ms: 0.0, is_doubled: false });
    }
}
