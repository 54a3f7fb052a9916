use std::io;
use std::net::SocketAddr;
use std::process;

use anyhow::{Context, Result, anyhow};
use http::{RuntimeKind, Server};
use kernel::{Clock, Random};
use telemetry::{Format, Guard};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::settings::Loaded;
use super::{Program, banner, say};
use crate::{LogFormat, Settings, operations};

/// Serves until a signal, then drains, closes the database, and returns.
pub fn serve(program: &Program<'_>, loaded: &Loaded) -> Result<()> {
    let _log = log(&loaded.settings)?;
    runtime(&loaded.settings)?.block_on(async {
        let running = program.app().start(loaded.settings.clone(), Clock::system(), Random::os()).await?;
        let server = Server::bind(running.api.clone())
            .map_err(|error| no_listener(&program.name, &error, loaded.settings.server.listen))?;
        let operations = operations::api(&running, Clock::system(), Random::os())?;
        let operations =
            Server::bind(operations).map_err(|error| no_operations(&error, loaded.settings.operations.listen))?.spawn();
        // Before anyone can know that we serve.
        let stop = stop_signal(program.name.clone()).context("cannot listen for signals")?;
        say(&banner::text(program, loaded, &running, server.address(), operations.address()))?;
        server
            .run(async {
                // A sender that is gone means the same.
                let _ = stop.await;
            })
            .await;
        operations.stop().await;
        running.close().await;
        tracing::info!(target: "mainstay::server", "stopped");
        Ok(())
    })
}

/// Starts the log.
pub fn log(settings: &Settings) -> Result<Guard> {
    let format = match settings.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    telemetry::init(&settings.log.filter, format).context("the log cannot be started")
}

/// A lane looks for requests that have come, and for timers, after so many turns of its tasks. With tokio's own 61, under
/// more load than it can bear, what comes is seen late, all at once, and goes to the end of the queue that lanes share.
const TURNS_PER_LOOK: u32 = 16;
/// One turn in so many is for the queue that lanes share, whatever waits in a lane's own. What the store's threads answer
/// comes through it; tokio's own measure lets it wait behind every request that has just come.
const TURNS_PER_SHARED: u32 = 3;

/// The runtime that the settings ask for. Of a runtime for each core this is the first; the server starts the others.
pub fn runtime(settings: &Settings) -> Result<Runtime> {
    let mut builder = match settings.server.runtime {
        RuntimeKind::WorkStealing => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(settings.server.lane_count());
            builder.event_interval(TURNS_PER_LOOK).global_queue_interval(TURNS_PER_SHARED);
            builder
        }
        RuntimeKind::PerCore => Builder::new_current_thread(),
    };
    builder
        .enable_all()
        .thread_name("lane")
        .build()
        .context("the runtime cannot be started; raise the limit of threads")
}

/// Ready at the first SIGINT or SIGTERM. The second ends the process at once.
fn stop_signal(program: String) -> io::Result<oneshot::Receiver<()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        either(&mut interrupt, &mut terminate).await;
        tracing::info!(target: "mainstay::server", "stopping: open requests finish first; a second signal ends at once");
        // The server may have ended by itself.
        let _ = sender.send(());
        either(&mut interrupt, &mut terminate).await;
        eprintln!("{program}: ended at once, as asked; open requests were cut");
        process::exit(1);
    });
    Ok(receiver)
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

/// The second listener cannot be had.
fn no_operations(error: &io::Error, address: SocketAddr) -> anyhow::Error {
    anyhow!(
        "cannot listen on {address} for operations: {error}; set operations.listen to another address, or to port 0 for a free one"
    )
}

fn no_listener(program: &str, error: &io::Error, address: SocketAddr) -> anyhow::Error {
    let ip = address.ip();
    match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "another process listens on {address} already; take a free port with `{program} serve --listen {}`, or another \
             one with server.listen",
            SocketAddr::new(ip, 0)
        ),
        io::ErrorKind::PermissionDenied => anyhow!(
            "this user may not listen on port {}; take one above 1023, as in `{program} serve --listen {}`",
            address.port(),
            SocketAddr::new(ip, 8080)
        ),
        io::ErrorKind::AddrNotAvailable => {
            anyhow!("this machine has no address {ip}; `ip addr` lists the ones it has, and 0.0.0.0 means all of them")
        }
        _ => anyhow!("cannot listen on {address}: {error}"),
    }
}
