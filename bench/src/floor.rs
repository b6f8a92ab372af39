//! What Redis itself costs: the least that a job needs, over bare sockets.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

struct Wire {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Wire {
    fn connect(address: &str) -> anyhow::Result<Self> {
        let writer = TcpStream::connect(address)?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self { reader: BufReader::new(writer.try_clone()?), writer })
    }

    fn send(&mut self, commands: &[&[&str]]) -> anyhow::Result<()> {
        let mut text = String::new();
        for command in commands {
            write!(text, "*{}\r\n", command.len())?;
            for part in *command {
                write!(text, "${}\r\n{part}\r\n", part.len())?;
            }
        }
        Ok(self.writer.write_all(text.as_bytes())?)
    }

    /// Reads one answer; nested ones count as one.
    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let (kind, rest) = line.trim_end().split_at_checked(1).context("an empty answer")?;
        match kind {
            "$" => {
                let length: i64 = rest.parse()?;
                let mut text = String::new();
                if length >= 0 {
                    self.reader.read_line(&mut text)?;
                }
                Ok(text.trim_end().to_owned())
            }
            "*" => {
                let count: i64 = rest.parse()?;
                let parts: Vec<String> =
                    (0..count.max(0)).map(|_| self.answer()).collect::<anyhow::Result<_>>()?;
                Ok(parts.join(" "))
            }
            _ => Ok(rest.to_owned()),
        }
    }
}

/// Milliseconds of each of `count` round trips of a job: pushed, popped, STARTED and result set and published.
///
/// # Errors
/// When Redis is away.
pub fn round_trips(address: &str, count: usize) -> anyhow::Result<Vec<f64>> {
    let mut worker = Wire::connect(address)?;
    let message = "x".repeat(900);
    let working = thread::spawn(move || -> anyhow::Result<()> {
        for _ in 0..count {
            worker.send(&[&["BRPOP", "floor", "10"]])?;
            worker.answer()?;
            worker.send(&[
                &["SETEX", "floor-result", "60", "STARTED"],
                &["PUBLISH", "floor-result", "STARTED"],
            ])?;
            worker.answer()?;
            worker.answer()?;
            worker.send(&[
                &["SETEX", "floor-result", "60", "SUCCESS"],
                &["PUBLISH", "floor-result", "SUCCESS"],
            ])?;
            worker.answer()?;
            worker.answer()?;
        }
        Ok(())
    });
    let (mut producer, mut listener) = (Wire::connect(address)?, Wire::connect(address)?);
    listener.send(&[&["SUBSCRIBE", "floor-result"]])?;
    listener.answer()?;
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        producer.send(&[&["LPUSH", "floor", &message]])?;
        producer.answer()?;
        while !listener.answer()?.ends_with("SUCCESS") {}
        trips.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    working.join().map_err(|_| anyhow::anyhow!("the floor's worker panicked"))??;
    Ok(trips)
}

/// Milliseconds from `PUBLISH` to a subscriber, one message each `interval`.
///
/// # Errors
/// When Redis is away.
pub fn publications(address: &str, count: usize, interval: Duration) -> anyhow::Result<Vec<f64>> {
    let (mut publisher, mut listener) = (Wire::connect(address)?, Wire::connect(address)?);
    listener.send(&[&["SUBSCRIBE", "floor-events"]])?;
    listener.answer()?;
    let origin = Instant::now();
    let publishing = thread::spawn(move || -> anyhow::Result<()> {
        for n in 0..count {
            thread::sleep((origin + interval * n as u32).saturating_duration_since(Instant::now()));
            let at = origin.elapsed().as_nanos().to_string();
            publisher.send(&[&["PUBLISH", "floor-events", &at]])?;
            publisher.answer()?;
        }
        Ok(())
    });
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let answer = listener.answer()?;
        let at: u64 = answer.rsplit(' ').next().unwrap_or_default().parse()?;
        all.push((origin.elapsed().as_nanos() as u64 - at) as f64 / 1e6);
    }
    publishing.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))??;
    Ok(all)
}
