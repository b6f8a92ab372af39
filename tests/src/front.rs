//! A load balancer before several gateways: connections in turn, to whoever takes them.

use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A load balancer. It ends when it is dropped.
#[derive(Debug)]
pub struct Front {
    /// Where it listens, on loopback.
    pub port: u16,
    _tasks: JoinSet<()>,
}

impl Front {
    /// Opens one before these ports of loopback.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn open(behind: Vec<u16>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut carried = JoinSet::new();
            let mut turn = 0;
            while let Ok((socket, _)) = listener.accept().await {
                turn += 1;
                let order: Vec<u16> = (0..behind.len()).map(|n| behind[(turn + n) % behind.len()]).collect();
                carried.spawn(carry(socket, order));
                while carried.try_join_next().is_some() {}
            }
        });
        Ok(Self { port, _tasks: tasks })
    }
}

async fn carry(mut socket: TcpStream, order: Vec<u16>) {
    for port in order {
        if let Ok(mut other) = TcpStream::connect(("127.0.0.1", port)).await {
            let _ = tokio::io::copy_bidirectional(&mut socket, &mut other).await;
            return;
        }
    }
}
