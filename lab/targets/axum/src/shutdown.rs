//! When to stop.

use tokio::signal::unix::{SignalKind, signal as listen};

/// Resolves on SIGTERM, and on SIGINT for whoever runs it in a terminal.
pub async fn signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (listen(SignalKind::terminate()), listen(SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen for signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
