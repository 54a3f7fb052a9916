use std::io;
use std::net::SocketAddr;
use std::process;

use anyhow::{Context, Result, anyhow};
use kernel::{Clock, Random};
use telemetry::{Format, Guard};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use web::{Reserved, RuntimeKind, Server};

use super::doctor::files;
use super::settings::Loaded;
use super::{Program, banner, descriptors, say, terminal};
use app::{LogFormat, Settings, WhyIgnored, metrics};

/// The addresses that will be served on.
pub struct Listeners {
    api: Reserved,
    operations: Reserved,
}

/// Takes both addresses, before anything is made: an address in use is reported first.
pub fn reserve(program: &str, settings: &Settings) -> Result<Listeners> {
    let api = Reserved::new(&settings.server).map_err(|error| no_listener(program, &error, settings.server.listen))?;
    let operations = Reserved::new(&metrics::server(settings)).map_err(|error| no_operations(&error, settings))?;
    Ok(Listeners { api, operations })
}

/// Serves until a signal, then drains, closes the database, and returns.
pub fn serve(program: &Program<'_>, loaded: &Loaded, reserved: Listeners) -> Result<()> {
    let _log = log(loaded)?;
    let mut settings = loaded.settings.clone();
    descriptors::fit(&mut settings);
    let settings = &settings;
    runtime(settings)?.block_on(async {
        let running = program.app().start(settings.clone(), Clock::system(), Random::os()).await?;
        // Before anyone can find that we serve.
        let stop = stop_signal(program.name.clone()).context("cannot listen for signals")?;
        let server = Server::on(reserved.api, running.api.clone())
            .map_err(|error| no_listener(&program.name, &error, settings.server.listen))?;
        let operations = metrics::api(&running, Clock::system(), Random::os())?;
        let operations =
            Server::on(reserved.operations, operations).map_err(|error| no_operations(&error, settings))?.spawn();
        if let Err(error) = say(&banner::text(program, loaded, &running, server.address(), operations.address())) {
            // Who asked for a server has one; that standard output is full or gone is another's trouble.
            tracing::warn!(target: "mainstay::server", error = format!("{error:#}"), "cannot say where the server is");
        }
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

/// Starts the log, and tells it what the settings leave to be said: once, whatever the program does.
pub fn log(loaded: &Loaded) -> Result<Guard> {
    let settings = &loaded.settings;
    let format = match settings.log.format {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    };
    let guard = telemetry::init(&settings.log.filter, format).context("the log cannot be started")?;
    let names = |of: WhyIgnored| {
        let names = loaded.ignored.iter().filter(|ignored| ignored.why == of).map(|ignored| ignored.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (links, foreign) = (names(WhyIgnored::ServiceLink), names(WhyIgnored::Foreign));
    if !links.is_empty() {
        tracing::debug!(target: "mainstay::server", names = links, "variables that describe services are not read");
    }
    if !foreign.is_empty() {
        tracing::warn!(
            target: "mainstay::server",
            names = foreign,
            "variables that begin as settings do and are none were not read; give another program's another name"
        );
    }
    for finding in files::open_to_all(loaded) {
        tracing::warn!(target: "mainstay::server", code = finding.code, fix = finding.fix, "{}", finding.what);
    }
    Ok(guard)
}

/// A worker looks for new requests and timers after this many turns of its tasks. With tokio's own 61, under overload,
/// new requests are seen late, all at once, and go to the end of the queue that workers share.
const TURNS_PER_LOOK: u32 = 16;
/// One turn in this many is for the queue that workers share, whatever waits in a worker's own. The answers of the
/// store's threads come through it; tokio's own value lets them wait behind every request that has just come.
const TURNS_PER_SHARED: u32 = 3;

/// The runtime that the settings ask for. Of a runtime for each core this is the first; the server starts the others.
pub fn runtime(settings: &Settings) -> Result<Runtime> {
    let mut builder = match settings.server.runtime {
        RuntimeKind::WorkStealing => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(settings.server.worker_count());
            builder.event_interval(TURNS_PER_LOOK).global_queue_interval(TURNS_PER_SHARED);
            builder
        }
        RuntimeKind::PerCore => Builder::new_current_thread(),
    };
    builder
        .enable_all()
        .thread_name("worker")
        .build()
        .context("the runtime cannot be started; raise the limit of threads")
}

/// Ready at the first SIGINT, SIGTERM or SIGHUP. The second of the first two ends the process at once.
///
/// SIGHUP, which a terminal sends that goes away, stops the server as the others do; unasked, it would end it in the middle of
/// open requests. Who started the program with `nohup` does not want it stopped by that. It is never the second: systemd
/// (`SendSIGHUP=`) and shells send it beside another signal.
fn stop_signal(program: String) -> io::Result<oneshot::Receiver<()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        let is_hangup = tokio::select! {
            () = either(&mut interrupt, &mut terminate) => false,
            () = heard(hangup.as_mut()) => true,
        };
        tracing::info!(target: "mainstay::server", "stopping: open requests finish first; a second signal ends at once");
        // The server may have ended by itself.
        let _ = sender.send(());
        // The other signal that comes with it.
        if is_hangup {
            either(&mut interrupt, &mut terminate).await;
        }
        either(&mut interrupt, &mut terminate).await;
        terminal::note(&format!("{program}: ended at once, as asked; open requests were cut"));
        process::exit(1);
    });
    Ok(receiver)
}

/// Whether the parent process wants SIGHUP ignored, as `nohup` does: a handler of ours would undo that.
pub(super) fn ignores_hangup() -> bool {
    // Where the system does not tell it (proc(5): a mask, the lowest bit is signal 1), it is not known.
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
    })
}

/// Ready when a signal comes; where it is not listened for, never.
pub(super) async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

async fn either(a: &mut Signal, b: &mut Signal) {
    tokio::select! {
        _ = a.recv() => {}
        _ = b.recv() => {}
    }
}

/// The second listener cannot be had.
fn no_operations(error: &io::Error, settings: &Settings) -> anyhow::Error {
    let address = settings.operations.listen;
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
