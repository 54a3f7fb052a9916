//! Our own driver: an open loop, where requests are due at fixed moments whatever the server does, and latency counts
//! from that moment (the correction for coordinated omission: a stalled server cannot stop the clock). It watches the
//! clock without sleeping, because a timer's millisecond would drown what is measured: give it a core of its own.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::SocketAddr;
use std::process::Stdio;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::http::{Answer, Connection, Requests};
use crate::process;
use crate::stats;

/// After the last due moment, this long for the answers that are still on their way.
const DRAIN: Duration = Duration::from_secs(5);

/// What to do; comes as JSON on standard input.
#[derive(Debug, Serialize, Deserialize)]
pub struct LoadPlan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Requests due in a second.
    pub rate: f64,
    /// How many may be under way at once; what is due beyond them waits, and its latency grows.
    pub connections: usize,
    /// For how long, in seconds.
    pub seconds: f64,
    /// What is not counted at the beginning, in seconds.
    pub warmup_s: f64,
    /// What to ask.
    pub requests: Requests,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Requests that were due.
    pub due: u64,
    /// Answers by status.
    pub by_status: BTreeMap<u16, Latencies>,
    /// Answers by status that came before the last request was due: what counts as a rate. Those that were due in the
    /// warm-up and came later are among them.
    pub in_time: BTreeMap<u16, u64>,
    /// Requests whose connection broke.
    pub broken: u64,
    /// Due, but never sent or never answered by the end.
    pub unanswered: u64,
    /// All answers and what was not answered, from the moment a request was due.
    pub from_due: Latencies,
}

impl Outcome {
    /// How many were answered with this status.
    pub fn count(&self, status: u16) -> u64 {
        self.by_status.get(&status).map_or(0, |latencies| latencies.count)
    }
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// How many.
    pub count: u64,
    /// The median.
    pub p50_us: u64,
    /// 95 of 100 are not above it.
    pub p95_us: u64,
    /// 99 of 100 are not above it.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latencies {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |share| stats::percentile(&values, share).unwrap_or(0);
        Self { count: values.len() as u64, p50_us: at(0.5), p95_us: at(0.95), p99_us: at(0.99), max_us: at(1.0) }
    }
}

/// Runs the plan in a process of its own, on `core`.
pub fn start(core: Option<usize>, plan: &LoadPlan) -> Result<Outcome> {
    let own = std::env::current_exe().context("cannot find our own program")?;
    let mut command = process::on_core(core, &own.to_string_lossy());
    command.arg("drive").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the driver")?;
    let stdin = child.stdin.take().context("the driver has no standard input")?;
    serde_json::to_writer(stdin, plan).context("cannot hand the driver its plan")?;
    let out = child.wait_with_output().context("cannot wait for the driver")?;
    if !out.status.success() {
        bail!("the driver ended with {}", out.status);
    }
    serde_json::from_slice(&out.stdout).context("cannot read what the driver found")
}

/// The command `load_generator`.
pub fn run() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the plan")?;
    let plan: LoadPlan = serde_json::from_str(&text).context("the plan is not one")?;
    let outcome = runtime()?.block_on(LocalSet::new().run_until(open_loop(plan)))?;
    println!("{}", serde_json::to_string(&outcome).context("cannot write the outcome")?);
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// The moment a request is due; `is_counted` once the warm-up is over.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    is_counted: bool,
}

#[derive(Default)]
struct LoadState {
    waiting: VecDeque<Due>,
    idle: Vec<Rc<Notify>>,
    /// Status, microseconds since it was sent, microseconds since it was due.
    answers: Vec<(u16, u64, u64)>,
    under_way: usize,
    counted_from: Option<Instant>,
    end: Option<Instant>,
    in_time: BTreeMap<u16, u64>,
    broken: u64,
    random: u64,
}

async fn open_loop(plan: LoadPlan) -> Result<Outcome> {
    let texts: Rc<Vec<Vec<u8>>> = Rc::new(plan.requests.paths.iter().map(|path| plan.requests.bytes(path)).collect());
    if texts.is_empty() || plan.rate <= 0.0 {
        bail!("a plan needs a path and a rate");
    }
    let shared = Rc::new(RefCell::new(LoadState { random: 0x9e37_79b9_7f4a_7c15, ..LoadState::default() }));
    for _ in 0..plan.connections {
        let connection = Connection::open(plan.address).await?;
        tokio::task::spawn_local(worker(plan.address, connection, texts.clone(), shared.clone()));
    }

    let interval = Duration::from_secs_f64(1.0 / plan.rate);
    let start = Instant::now();
    let counted_from = start + Duration::from_secs_f64(plan.warmup_s);
    let end = counted_from + Duration::from_secs_f64(plan.seconds);
    {
        let mut shared = shared.borrow_mut();
        (shared.counted_from, shared.end) = (Some(counted_from), Some(end));
    }
    let (mut at, mut due) = (start, 0);
    while at < end {
        while Instant::now() < at {
            // Back to the sockets at once; sleeping would be late by up to a millisecond.
            tokio::task::yield_now().await;
        }
        let is_counted = at >= counted_from;
        due += u64::from(is_counted);
        let mut shared = shared.borrow_mut();
        shared.waiting.push_back(Due { at, is_counted });
        if let Some(idle) = shared.idle.pop() {
            idle.notify_one();
        }
        drop(shared);
        at += interval;
    }
    let last = Instant::now() + DRAIN;
    while Instant::now() < last && !is_done(&shared.borrow()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }

    let shared = shared.borrow();
    let answered = shared.answers.len() as u64;
    let unanswered = due.saturating_sub(answered + shared.broken);
    let mut by_status: BTreeMap<u16, Vec<u64>> = BTreeMap::new();
    let mut from_due = Vec::with_capacity(shared.answers.len());
    for (status, since_sent, since_due) in &shared.answers {
        by_status.entry(*status).or_default().push(*since_sent);
        from_due.push(*since_due);
    }
    // What never came counts as late as the whole time of waiting: leaving it out would flatter.
    from_due.extend((0..unanswered).map(|_| micros(DRAIN)));
    Ok(Outcome {
        due,
        by_status: by_status.into_iter().map(|(status, values)| (status, Latencies::of(values))).collect(),
        in_time: shared.in_time.clone(),
        broken: shared.broken,
        unanswered,
        from_due: Latencies::of(from_due),
    })
}

fn is_done(shared: &LoadState) -> bool {
    shared.waiting.is_empty() && shared.under_way == 0
}

async fn worker(
    address: SocketAddr,
    mut connection: Connection,
    texts: Rc<Vec<Vec<u8>>>,
    shared: Rc<RefCell<LoadState>>,
) {
    let woken = Rc::new(Notify::new());
    loop {
        let next = shared.borrow_mut().waiting.pop_front();
        let Some(due) = next else {
            shared.borrow_mut().idle.push(woken.clone());
            woken.notified().await;
            continue;
        };
        let text = {
            let mut shared = shared.borrow_mut();
            shared.under_way += 1;
            &texts[by_chance(&mut shared.random, texts.len())]
        };
        let sent = Instant::now();
        let answer = connection.exchange(text).await;
        if !shared.borrow_mut().note(due, sent, answer) {
            match Connection::open(address).await {
                Ok(fresh) => connection = fresh,
                // The rest is served by the other connections, and counts as late.
                Err(_) => return,
            }
        }
    }
}

impl LoadState {
    /// Whether the connection is still good.
    fn note(&mut self, due: Due, sent: Instant, answer: Result<Answer>) -> bool {
        self.under_way -= 1;
        let now = Instant::now();
        if let Ok(answer) = &answer
            && self.counted_from.is_some_and(|from| now >= from)
            && self.end.is_some_and(|end| now < end)
        {
            *self.in_time.entry(answer.status).or_default() += 1;
        }
        match answer {
            Ok(answer) if due.is_counted => {
                self.answers.push((answer.status, micros(sent.elapsed()), micros(due.at.elapsed())));
                true
            }
            Ok(_) => true,
            Err(_) => {
                self.broken += u64::from(due.is_counted);
                false
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Xorshift: which one is asked next need not be secret, only spread, and the same in each run.
fn by_chance(state: &mut u64, length: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state % length as u64).unwrap_or(0)
}

/// Sends each request once over some connections and returns the answers in their order.
pub fn each_once(address: SocketAddr, requests: Vec<Vec<u8>>, connections: usize) -> Result<Vec<Answer>> {
    let total = requests.len();
    let queue = Rc::new(RefCell::new(requests.into_iter().enumerate()));
    let answers = Rc::new(RefCell::new(vec![None; total]));
    let tasks = LocalSet::new();
    runtime()?.block_on(tasks.run_until(async {
        let mut workers = Vec::new();
        for _ in 0..connections.min(total) {
            let (queue, answers) = (queue.clone(), answers.clone());
            workers.push(tokio::task::spawn_local(async move {
                let mut connection = Connection::open(address).await?;
                loop {
                    let next = queue.borrow_mut().next();
                    let Some((at, request)) = next else { return anyhow::Ok(()) };
                    let answer = connection.exchange(&request).await?;
                    answers.borrow_mut()[at] = Some(answer);
                }
            }));
        }
        for worker in workers {
            worker.await.context("a connection's task failed")??;
        }
        anyhow::Ok(())
    }))?;
    let answers = std::mem::take(&mut *answers.borrow_mut());
    answers.into_iter().collect::<Option<Vec<_>>>().context("a request was left without an answer")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn chance_reaches_everything() {
        let mut state = 1;
        let mut seen = [false; 10];
        for _ in 0..1000 {
            seen[by_chance(&mut state, 10)] = true;
        }
        assert_eq!(seen, [true; 10]);
    }

    #[test]
    fn latencies_of_nothing_are_zero() {
        assert_eq!(Latencies::of(Vec::new()).count, 0);
        let some = Latencies::of(vec![3, 1, 2]);
        assert_eq!((some.count, some.p50_us, some.max_us), (3, 2, 3));
    }

    /// A server that answers one request at a time, the tenth never.
    async fn stubborn(listener: tokio::net::TcpListener, silent_after: usize) {
        let mut answered = 0;
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        while socket.read(&mut buffer).await.unwrap() > 0 {
            if answered == silent_after {
                std::future::pending::<()>().await;
            }
            answered += 1;
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    }

    /// A server that answers late does not do more for it: what comes after the end is answered, but not in time.
    #[test]
    fn what_comes_late_is_no_rate() {
        let outcome = runtime().unwrap().block_on(LocalSet::new().run_until(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::task::spawn_local(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4096];
                let mut is_first = true;
                while socket.read(&mut buffer).await.unwrap() > 0 {
                    // Half a second is far beyond the plan's tenth.
                    let pause = Duration::from_millis(if is_first { 500 } else { 0 });
                    is_first = false;
                    tokio::time::sleep(pause).await;
                    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
            let requests = Requests::get("/");
            let plan = LoadPlan { address, rate: 100.0, connections: 1, seconds: 0.1, warmup_s: 0.0, requests };
            open_loop(plan).await.unwrap()
        }));
        assert_eq!((outcome.due, outcome.count(200), outcome.unanswered), (10, 10, 0));
        assert!(outcome.in_time.is_empty());
    }

    /// The point of an open loop: requests go on being due while the server is silent, and all of them count.
    #[test]
    fn silence_does_not_stop_the_clock() {
        let outcome = runtime().unwrap().block_on(LocalSet::new().run_until(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            tokio::task::spawn_local(stubborn(listener, 10));
            let requests = Requests::get("/");
            let plan = LoadPlan { address, rate: 1000.0, connections: 1, seconds: 0.1, warmup_s: 0.0, requests };
            open_loop(plan).await.unwrap()
        }));
        assert_eq!(outcome.due, 100);
        assert_eq!(outcome.count(200), 10);
        assert_eq!(outcome.unanswered, 90);
        assert_eq!((outcome.from_due.count, outcome.from_due.p50_us), (100, micros(DRAIN)));
    }
}
