//! Connections to the servers. HTTP/2 puts every request to a server on one connection, and servers take about a hundred
//! of them at a time there; what is beyond waits, unseen, while its deadline runs. So there are as many clients as the
//! requests in flight need, each with a connection of its own.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use reqwest::Client;

/// How long a TCP and TLS connection may take: about four times a cold one that was measured.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests on one connection, with room to spare below the hundred that servers allow.
const PLACES: usize = 64;

/// Clients at most.
const CLIENTS: usize = 32;

/// Which proxy a client goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// The one that `HTTPS_PROXY` and its kin name.
    FromEnvironment,
    /// None: for servers on the same machine or network.
    None,
}

/// Connections that suit conversations: no delay for small packets, kept open for long. Cheap to clone; clones share them.
#[derive(Clone, Debug)]
pub struct Connections {
    proxy: Proxy,
    lanes: Arc<Mutex<Vec<Lane>>>,
}

/// A client, and the requests that it has in flight.
#[derive(Clone, Debug)]
struct Lane {
    client: Client,
    place: Place,
}

/// A request's place on a connection. It is given back by dropping it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place(Arc<()>);

impl Connections {
    /// Makes the first client. Nothing is connected to yet.
    ///
    /// # Errors
    /// When the machine's TLS configuration cannot be loaded.
    pub fn new(proxy: Proxy) -> Result<Self, reqwest::Error> {
        let lanes = Arc::new(Mutex::new(vec![Lane::open(proxy)?]));
        Ok(Self { proxy, lanes })
    }

    /// The first client that has room, so that few requests stay on a warm connection.
    pub(crate) fn take(&self) -> (Client, Place) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let with_room = lanes.iter().position(|lane| lane.in_flight() < PLACES);
        let at = with_room.unwrap_or_else(|| {
            if lanes.len() < CLIENTS
                && let Ok(lane) = Lane::open(self.proxy)
            {
                lanes.push(lane);
                return lanes.len() - 1;
            }
            (0..lanes.len()).min_by_key(|at| lanes[*at].in_flight()).unwrap_or_default()
        });
        let Lane { client, place } = lanes[at].clone();
        (client, place)
    }
}

impl Lane {
    fn open(proxy: Proxy) -> Result<Self, reqwest::Error> {
        let builder = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(15))
            .pool_idle_timeout(Duration::from_mins(5));
        let client = match proxy {
            Proxy::FromEnvironment => builder.build(),
            Proxy::None => builder.no_proxy().build(),
        };
        Ok(Self { client: client?, place: Place::default() })
    }

    fn in_flight(&self) -> usize {
        Arc::strong_count(&self.place.0) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_share_a_client_until_it_is_full_and_places_are_given_back() {
        let connections = Connections::new(Proxy::None).unwrap();
        let clients = || connections.lanes.lock().unwrap().len();
        let mut taken: Vec<_> = (0..PLACES).map(|_| connections.take()).collect();
        assert_eq!(clients(), 1);
        taken.push(connections.take());
        assert_eq!(clients(), 2);
        taken.remove(0);
        taken.push(connections.take());
        let in_flight: Vec<_> = connections.lanes.lock().unwrap().iter().map(Lane::in_flight).collect();
        assert_eq!(in_flight, [PLACES, 1], "the first that has room is taken");
        taken.extend((0..2 * PLACES * CLIENTS).map(|_| connections.take()));
        assert_eq!(clients(), CLIENTS);
        drop(taken);
        assert!(connections.lanes.lock().unwrap().iter().all(|lane| lane.in_flight() == 0));
    }
}
