//! A server that counts its requests and those with a key.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that accepts every request, and counts all requests and those with a key. Dropping it stops the server.
///
/// Tests redirect a client to it, to show that the client sends no key there.
#[derive(Debug)]
pub struct RequestCounter {
    address: SocketAddr,
    counts: Arc<Counts>,
    stopped: CancellationToken,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    authorized: AtomicU64,
}

impl RequestCounter {
    /// Starts the server on a free loopback port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let counts = Arc::new(Counts::default());
        let stopped = CancellationToken::new();
        let router = Router::new().fallback(count).with_state(Arc::clone(&counts));
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopped.clone().cancelled_owned());
        tokio::spawn(async move {
            let _ = serving.await;
        });
        Ok(Self { address, counts, stopped })
    }

    /// Returns the server's root.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many requests arrived.
    pub fn request_count(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// Returns whether any request came with an `Authorization` header.
    pub fn saw_authorization(&self) -> bool {
        self.counts.authorized.load(Ordering::Relaxed) > 0
    }
}

impl Drop for RequestCounter {
    fn drop(&mut self) {
        self.stopped.cancel();
    }
}

async fn count(State(counts): State<Arc<Counts>>, request: Request) -> &'static str {
    counts.requests.fetch_add(1, Ordering::Relaxed);
    if request.headers().contains_key(AUTHORIZATION) {
        counts.authorized.fetch_add(1, Ordering::Relaxed);
    }
    "{}"
}
