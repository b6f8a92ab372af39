//! What Redis itself costs: the job of the queue's own benchmark, over bare sockets with blocking reads.
//!
//! It is the same job, not a cheaper one: enqueued as Celery does, claimed under a lease as kombu writes it down, STARTED
//! recorded, result set and published, acknowledged. Each step takes the fewest commands that record it, and what need
//! not wait for an answer goes out in one write. A worker waits twice: for a message, and for the answer that says that
//! the claim is written, before it does the work. Messages, results and events have the size of the queue's own, and
//! the two sides are two processes, as with the queue and with Celery.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::Timestamp;

/// As long as the channel of a job's events.
const EVENTS: &str = "floor:progress:0a1b2c3d-0123456789abcdef0123456789abcdef";
/// Results are kept for as long as Celery keeps them.
const RESULT_SECONDS: &str = "86400";

#[derive(Debug)]
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

    fn answers(&mut self, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            self.answer()?;
        }
        Ok(())
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
            "-" => anyhow::bail!("redis says {rest}"),
            _ => Ok(rest.to_owned()),
        }
    }
}

/// Works off jobs for as long as it lives.
///
/// # Errors
/// When Redis is away.
pub fn work(address: &str) -> anyhow::Result<()> {
    let mut wire = Wire::connect(address)?;
    let stored = |status: &str, result: &str| {
        format!(
            r#"{{"status":"{status}","result":{result},"traceback":null,"children":[],"date_done":"2026-11-25T07:00:00.000000+00:00","task_id":"0a1b2c3d-0123456789abcdef0123456789abcdef"}}"#
        )
    };
    let started = stored("STARTED", r#"{"pid":12345,"hostname":"floor-12345@here"}"#);
    let done = stored("SUCCESS", r#"{"llm_response":"ok","user_transcript":"x"}"#);
    wire.send(&[&["BRPOP", "floor", "20"]])?;
    for n in 0.. {
        let popped = wire.answer()?;
        let message = popped.split_once(' ').context("no job for a long time")?.1;
        let (tag, key) = (format!("tag-{n:032}"), format!("floor-task-meta-{n:032}"));
        let entry = format!("[{message}, \"\", \"floor\"]");
        let now = Timestamp::now().as_microsecond().to_string();
        wire.send(&[
            &["ZADD", "floor_unacked_index", &now, &tag],
            &["HSET", "floor_unacked", &tag, &entry],
            &["SETEX", &key, RESULT_SECONDS, &started],
            &["PUBLISH", "floor-results", &started],
        ])?;
        wire.answers(4)?;
        wire.send(&[
            &["SETEX", &key, RESULT_SECONDS, &done],
            &["PUBLISH", "floor-results", &done],
            &["ZREM", "floor_unacked_index", &tag],
            &["HDEL", "floor_unacked", &tag],
            &["BRPOP", "floor", "20"],
        ])?;
        wire.answers(4)?;
    }
    Ok(())
}

/// Milliseconds of each of `count` round trips of a job, from its enqueuing to its result. Somebody has to [`work`].
///
/// # Errors
/// When Redis is away.
pub fn round_trips(address: &str, message: &str, count: usize) -> anyhow::Result<Vec<f64>> {
    let (mut producer, mut listener) = (Wire::connect(address)?, Wire::connect(address)?);
    listener.send(&[&["SUBSCRIBE", "floor-results"]])?;
    listener.answer()?;
    let mut trips = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        producer.send(&[&["LPUSH", "floor", message]])?;
        producer.answer()?;
        while !listener.answer()?.contains("SUCCESS") {}
        trips.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(trips)
}

/// The oldest message that waits in a list.
///
/// # Errors
/// When Redis is away or the list is empty.
pub fn waiting(address: &str, list: &str) -> anyhow::Result<String> {
    let mut wire = Wire::connect(address)?;
    wire.send(&[&["LINDEX", list, "-1"]])?;
    let message = wire.answer()?;
    anyhow::ensure!(!message.is_empty(), "nothing waits in {list}");
    Ok(message)
}

/// Publishes `count` events that say when they were published, one each `interval`.
///
/// # Errors
/// When Redis is away.
pub async fn publish(address: &str, count: usize, interval: Duration) -> anyhow::Result<()> {
    let mut wire = Wire::connect(address)?;
    let mut ticks = tokio::time::interval(interval);
    for n in 0..count {
        ticks.tick().await;
        let at = Timestamp::now().as_microsecond();
        let event = format!(r#"{n} {at} {{"type":"reply_delta","text":"{at}"}}"#);
        wire.send(&[&["PUBLISH", EVENTS, &event]])?;
        wire.answer()?;
    }
    Ok(())
}

/// Hears what [`publish`] says.
#[derive(Debug)]
pub struct Listener(Wire);

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// When Redis is away.
    pub fn begin(address: &str) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address)?;
        wire.send(&[&["SUBSCRIBE", EVENTS]])?;
        wire.answer()?;
        Ok(Self(wire))
    }

    /// Milliseconds from the publication of each event to its arrival.
    ///
    /// # Errors
    /// When fewer than `count` come.
    pub fn hear(mut self, count: usize) -> anyhow::Result<Vec<f64>> {
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            let heard = self.0.answer()?;
            let late = |at: i64| (Timestamp::now().as_microsecond() - at) as f64 / 1_000.0;
            // Kind, channel, number, moment, event.
            let at = heard.split(' ').nth(3).context("an event without a moment")?;
            all.push(late(at.parse()?));
        }
        Ok(all)
    }
}
