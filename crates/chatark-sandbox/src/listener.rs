//! A server that records requests and whether they carried a key.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that accepts every request and records whether it carried a key.
///
/// A test redirects a client to it and proves that no key was sent. Dropping it stops the server.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    seen: Arc<Seen>,
    stopped: CancellationToken,
}

#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    authorized: AtomicU64,
}

impl Listener {
    /// Starts the server on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let stopped = CancellationToken::new();
        let router = Router::new().fallback(note).with_state(Arc::clone(&seen));
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped.clone().cancelled_owned());
        tokio::spawn(async move {
            let _ = serving.await;
        });
        Ok(Self { address, seen, stopped })
    }

    /// Returns the server's root.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests arrived.
    pub fn request_count(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Returns whether any request came with an `Authorization` header.
    pub fn saw_authorization(&self) -> bool {
        self.seen.authorized.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

async fn note(State(seen): State<Arc<Seen>>, request: Request) -> &'static str {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    if request.headers().contains_key(AUTHORIZATION) {
        seen.authorized.fetch_add(1, Ordering::Relaxed);
    }
    "{}"
}
