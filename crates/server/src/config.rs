//! Typed configuration: read once, every problem collected, all of them reported together.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs as _},
    str::FromStr,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable, or several joined by a comma.
    pub name: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0.len() == 1 { "problem" } else { "problems" };
        write!(f, "{} {plural} in the configuration:", self.0.len())?;
        for problem in &self.0 {
            write!(f, "\n  {}: {}", problem.name, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Reads variables and collects what is wrong with them.
pub struct Env {
    get: Box<dyn Fn(&str) -> Option<String> + Send>,
    problems: Vec<Problem>,
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl Env {
    /// Reads through a function, so that tests need no process environment. An empty value counts as unset.
    pub fn new(get: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        Self { get: Box::new(get), problems: Vec::new() }
    }

    /// Reads the process environment.
    pub fn from_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the process environment")]
        Self::new(|name| std::env::var(name).ok())
    }

    /// A text that may be missing.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// A text with a default.
    pub fn text_or(&mut self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    /// A text that must be there.
    pub fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problem(name, "is not set");
            String::new()
        })
    }

    /// A secret that may be missing.
    pub fn optional_secret(&mut self, name: &str) -> Option<SecretString> {
        self.optional(name).map(SecretString::from)
    }

    /// A secret that must be there.
    pub fn required_secret(&mut self, name: &str) -> SecretString {
        self.required(name).into()
    }

    /// A secret of at least `min` characters that must be there.
    pub fn long_secret(&mut self, name: &str, min: usize) -> SecretString {
        let secret = self.required_secret(name);
        let length = secret.expose_secret().chars().count();
        if (1..min).contains(&length) {
            self.problem(name, format!("has {length} characters; at least {min} are needed"));
        }
        secret
    }

    /// A value with a default; what cannot be parsed is a problem.
    pub fn parse_or<T: FromStr>(&mut self, name: &str, default: T) -> T
    where
        T::Err: fmt::Display,
    {
        match self.optional(name).map(|value| (value.parse(), value)) {
            None => default,
            Some((Ok(parsed), _)) => parsed,
            Some((Err(error), value)) => {
                self.problem(name, format!("\"{value}\" cannot be read: {error}"));
                default
            }
        }
    }

    /// A number within bounds, with a default.
    pub fn number_or(&mut self, name: &str, default: u64, bounds: std::ops::RangeInclusive<u64>) -> u64 {
        let value = self.parse_or(name, default);
        if bounds.contains(&value) {
            return value;
        }
        self.problem(name, format!("{value} is not between {} and {}", bounds.start(), bounds.end()));
        default
    }

    /// A duration given in milliseconds.
    pub fn millis_or(&mut self, name: &str, default: Duration) -> Duration {
        Duration::from_millis(self.number_or(name, default.as_millis() as u64, 0..=3_600_000))
    }

    /// A duration given in seconds.
    pub fn seconds_or(&mut self, name: &str, default: Duration) -> Duration {
        Duration::from_secs(self.number_or(name, default.as_secs(), 0..=86_400))
    }

    /// An `http` or `https` address, without a trailing slash.
    pub fn url_or(&mut self, name: &str, default: &str) -> String {
        let value = self.text_or(name, default);
        let host = value.strip_prefix("http://").or_else(|| value.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            self.problem(name, format!("\"{value}\" is not an http or https address"));
        }
        value.trim_end_matches('/').to_owned()
    }

    /// A comma-separated list; empty when unset.
    pub fn list(&mut self, name: &str) -> Vec<String> {
        let text = self.optional(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    /// One of a few words.
    pub fn choice_or<T: Clone>(&mut self, name: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(value) = self.optional(name) else { return default };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return choice.clone();
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        self.problem(name, format!("\"{value}\" is not one of {}", words.join(", ")));
        default
    }

    /// Records that something is wrong.
    pub fn problem(&mut self, name: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem { name: name.into(), message: message.into() });
    }

    /// Gives the configuration, or everything that is wrong.
    ///
    /// # Errors
    /// When any problem was recorded.
    pub fn finish<T>(self, config: T) -> Result<T, Problems> {
        if self.problems.is_empty() { Ok(config) } else { Err(Problems(self.problems)) }
    }
}

/// Whether an `http(s)` address leads to this machine only.
pub fn is_loopback_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = if let Some(v6) = host.strip_prefix('[') {
        v6.split(']').next().unwrap_or_default()
    } else {
        host.split(':').next().unwrap_or_default()
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads a listening address such as `127.0.0.1:50051` or `localhost:0`.
pub(crate) fn listen_addr(env: &mut Env, name: &str, default: SocketAddr) -> SocketAddr {
    let Some(value) = env.optional(name) else { return default };
    if let Some(addr) = value.to_socket_addrs().ok().and_then(|mut addrs| addrs.next()) {
        addr
    } else {
        env.problem(name, format!("\"{value}\" is not an address with a port, such as {default}"));
        default
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> Env {
        Env::new(move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn every_problem_is_reported_at_once_and_no_secret_is_printed() {
        let mut env =
            env(&[("MAX_CALLS", "many"), ("GROQ_BASE_URL", "ftp://x"), ("KEY", "hush"), ("PLAN", "gold")]);
        env.parse_or("MAX_CALLS", 50_usize);
        env.url_or("GROQ_BASE_URL", "https://api.groq.com");
        env.long_secret("KEY", 16);
        env.choice_or("PLAN", &[("free", 1), ("developer", 2)], 1);
        env.required("SIGNALWIRE_TOKEN");
        let problems = env.finish(()).unwrap_err();
        let text = problems.to_string();
        assert_eq!(problems.0.len(), 5);
        for name in ["MAX_CALLS", "GROQ_BASE_URL", "KEY", "PLAN", "SIGNALWIRE_TOKEN"] {
            assert!(text.contains(name), "{text}");
        }
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn loopback_is_told_from_the_rest() {
        for url in ["http://127.0.0.1:8080", "http://localhost", "https://[::1]:8443/x", "http://127.9.9.9/"]
        {
            assert!(is_loopback_url(url), "{url}");
        }
        for url in
            ["https://voice.example.com", "http://127.0.0.1.example.com", "http://127.0.0.1@evil.example"]
        {
            assert!(!is_loopback_url(url), "{url}");
        }
    }
}
