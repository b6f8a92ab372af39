//! The order of a caller's frames. Networks lose, double and delay them; what follows wants each moment once, in turn.

/// The longest gap that is filled: beyond it nobody tells a hole from a pause.
const LONGEST_GAP: u64 = 10;
/// So many frames in a row that all seem old: whoever counts has begun anew.
const BEGUN_ANEW: u32 = 50;

/// Where a stream is. The number of a frame is believed only after it has been seen to count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    last: u64,
    counts: bool,
    old: u32,
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is next, after so many that are missing.
    Next { missing: u64 },
    /// Its moment has passed: it is a double, or late.
    Past,
}

impl Order {
    pub(super) fn place(&mut self, number: Option<u64>) -> Place {
        let Some(number) = number else { return Place::Next { missing: 0 } };
        if !self.counts {
            self.counts = self.last > 0 && number == self.last + 1;
            self.last = number;
            return Place::Next { missing: 0 };
        }
        if number <= self.last {
            self.old += 1;
            if self.old < BEGUN_ANEW {
                return Place::Past;
            }
            *self = Self { last: number, ..Self::default() };
            return Place::Next { missing: 0 };
        }
        let missing = number - self.last - 1;
        (self.last, self.old) = (number, 0);
        Place::Next { missing: if missing > LONGEST_GAP { 0 } else { missing } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(numbers: &[u64]) -> Vec<Place> {
        let mut order = Order::default();
        numbers.iter().map(|number| order.place(Some(*number))).collect()
    }

    const NEXT: Place = Place::Next { missing: 0 };

    #[test]
    fn doubles_and_late_frames_are_past_and_gaps_are_known() {
        assert_eq!(places(&[1, 2, 2, 3]), [NEXT, NEXT, Place::Past, NEXT]);
        assert_eq!(places(&[1, 2, 4, 3, 5]), [NEXT, NEXT, Place::Next { missing: 1 }, Place::Past, NEXT]);
        assert_eq!(places(&[1, 2, 500, 501]), [NEXT; 4], "a long gap is a pause");
    }

    #[test]
    fn numbers_that_do_not_count_are_not_believed() {
        assert_eq!(places(&[1; 100]), [NEXT; 100]);
        assert_eq!(places(&[7, 3, 9, 1]), [NEXT; 4]);
        let mut order = Order::default();
        assert_eq!(order.place(None), NEXT);
    }

    #[test]
    fn a_count_that_begins_anew_is_followed_within_a_second() {
        let numbers: Vec<u64> = (1..=1_000).chain(1..=200).collect();
        let past = places(&numbers).into_iter().filter(|place| *place == Place::Past).count();
        assert_eq!(past, BEGUN_ANEW as usize - 1);
    }
}
