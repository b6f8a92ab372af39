//! Clips as the gateway serves them, beside nginx: the same file, the same pace, in turns.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tests::{
    child::{Child, Spec},
    mesh::{Mesh, Options, eventually, installed},
    ports::free_port,
};
use voice_proto::tts::v1::CreateClipRequest;

use crate::{Better, Report, quantile};

/// Requests a second, sent at their times whatever became of those before.
const RATE: u32 = 200;
/// Connections that are kept alive and used in turn.
const CONNECTIONS: usize = 8;
/// Rounds of each, in turns, so that what the machine does besides meets both.
const ROUNDS: usize = 40;
const REQUESTS: usize = 100;
/// A clip of about three seconds.
const TEXT: &str = "Gladly. Your table for two is booked for eight in the evening.";

/// Measures and reports.
///
/// # Errors
/// When the gateway or nginx cannot be started, or does not serve the clip.
pub async fn measure(report: &mut Report) -> anyhow::Result<()> {
    let mesh = Mesh::start(Options::default()).await?;
    let request = CreateClipRequest { text: TEXT.to_owned(), ..CreateClipRequest::default() };
    let clip = mesh.tts().await?.create_clip(request).await?.into_inner().clip.context("no clip")?;
    let file = std::fs::read(mesh.folder.join("clips").join(&clip.filename))?;
    let (_nginx, nginx) = start_nginx(&mesh.folder, &clip.filename, &file).await?;
    let gateway = mesh.address("gateway").trim_start_matches("http://").to_owned();
    let path = format!("/audio/{}", clip.filename);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round is not counted: caches fill and connections are made.
    for round in 0..=ROUNDS {
        for (address, all) in [(&gateway, &mut ours), (&nginx, &mut theirs)] {
            let (address, path, file) = (address.clone(), path.clone(), file.clone());
            let measured = tokio::task::spawn_blocking(move || first_bytes(&address, &path, &file)).await??;
            if round > 0 {
                all.extend(measured);
            }
        }
    }
    let (our_p99, their_p99) = (quantile(&ours, 0.99), quantile(&theirs, 0.99));
    report.figure("clip_first_byte_p99_ours_over_nginx", our_p99 / their_p99, "x", 2.0, Better::Lower);
    report.peer(
        "clip_first_byte",
        json!({
            "bytes": file.len(),
            "requests_each": ours.len(),
            "requests_per_second": RATE,
            "ours_p50_us": quantile(&ours, 0.5).round(),
            "ours_p99_us": our_p99.round(),
            "nginx_p50_us": quantile(&theirs, 0.5).round(),
            "nginx_p99_us": their_p99.round(),
        }),
    );
    Ok(())
}

/// Microseconds from each request to the first byte of its answer.
fn first_bytes(address: &str, path: &str, file: &[u8]) -> anyhow::Result<Vec<f64>> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: */*\r\n\r\n");
    let begun = Instant::now() + Duration::from_millis(50);
    thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let request = request.as_bytes();
                scope.spawn(move || {
                    let mut socket = TcpStream::connect(address)?;
                    socket.set_nodelay(true)?;
                    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
                    let mine = (n..REQUESTS).step_by(CONNECTIONS);
                    mine.map(|nth| {
                        let due = begun + Duration::from_secs(1) * nth as u32 / RATE;
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        fetch(&mut socket, request, file)
                    })
                    .collect::<anyhow::Result<Vec<f64>>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(REQUESTS);
        for connection in connections {
            all.extend(connection.join().map_err(|_| anyhow::anyhow!("a connection panicked"))??);
        }
        Ok(all)
    })
}

/// One request and the whole answer; gives the time to its first byte.
fn fetch(socket: &mut TcpStream, request: &[u8], file: &[u8]) -> anyhow::Result<f64> {
    let mut answer = vec![0; file.len() + 4_096];
    let sent = Instant::now();
    socket.write_all(request)?;
    let mut length = socket.read(&mut answer)?;
    let first = sent.elapsed();
    let body = loop {
        let end = answer[..length].windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        match end {
            Some(body) if length >= body + file.len() => break body,
            Some(_) | None => {}
        }
        let more = socket.read(&mut answer[length..])?;
        ensure!(more > 0, "the answer broke off after {length} bytes");
        length += more;
    };
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..body]));
    ensure!(&answer[body..length] == file, "something else than the clip was served");
    Ok(first.as_secs_f64() * 1e6)
}

/// Starts nginx with the clip under the gateway's path; gives its address too.
async fn start_nginx(folder: &Path, filename: &str, file: &[u8]) -> anyhow::Result<(Child, String)> {
    let program = installed("nginx").or_else(|| {
        let usual = Path::new("/usr/sbin/nginx");
        usual.exists().then(|| usual.to_owned())
    });
    let program = program.context("nginx is not installed: run tests/setup.sh bench")?;
    let home = folder.join("nginx");
    std::fs::create_dir_all(home.join("audio"))?;
    std::fs::write(home.join("audio").join(filename), file)?;
    let address = format!("127.0.0.1:{}", free_port()?);
    let shown = home.display();
    let mut config = String::new();
    writeln!(config, "daemon off; master_process off; pid {shown}/pid; error_log {shown}/error.log;")?;
    writeln!(config, "events {{ worker_connections 256; }}")?;
    writeln!(config, "http {{ access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;")?;
    writeln!(config, "keepalive_requests 100000; open_file_cache max=100; types {{ audio/wav wav; }}")?;
    for temporary in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        writeln!(config, "{temporary}_temp_path {shown}/{temporary};")?;
    }
    writeln!(config, "server {{ listen {address}; root {shown}; }} }}")?;
    let path = home.join("nginx.conf");
    std::fs::write(&path, config)?;
    let args = ["-p", &home.display().to_string(), "-c", &path.display().to_string()].map(str::to_owned);
    let spec = Spec { name: "nginx", program: &program, args: &args, env: &[], folder, announces: false };
    let child = Child::start(spec).await?;
    eventually(Duration::from_secs(10), "nginx", async || TcpStream::connect(&address).ok()).await?;
    Ok((child, address))
}
